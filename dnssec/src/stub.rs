//! stub
#![allow(missing_docs, unused)]
use crate::verdict::*;
#[derive(Debug)]
pub struct Validator;
#[derive(Debug, Default)]
pub struct Settings;
use crate::anchors::TrustAnchors;
#[derive(Debug)]
pub struct Validation;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub name: Box<[u8]>,
    pub record_type: u16,
}
#[derive(Debug, Clone, Copy)]
pub enum FetchFailure {
    NoReply,
    NotAllowed,
}
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    pub seconds: u64,
    pub dates_count: bool,
}
#[derive(Debug)]
pub enum Step {
    Fetch(Vec<Fetch>),
    Done(Box<Outcome>),
}
#[derive(Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub why: String,
    pub links: Vec<String>,
    pub ttl: u32,
    pub answers: Vec<bool>,
    pub authority: Vec<bool>,
}
impl Validator {
    pub fn new(_: Settings, _: TrustAnchors) -> Self {
        Self
    }
    pub fn forget(&mut self) {}
    pub fn anchor_of(&self, _: &[u8], _: u64) -> Option<Vec<u8>> {
        None
    }
    pub fn begin(&mut self, _: &[u8], _: WallClock) -> Validation {
        Validation
    }
}
impl Validation {
    pub fn step(&mut self, _: &mut Validator, _: WallClock) -> Step {
        Step::Fetch(Vec::new())
    }
    pub fn handle_fetch(
        &mut self,
        _: &mut Validator,
        _: &Fetch,
        _: Result<&[u8], FetchFailure>,
        _: WallClock,
    ) {
    }
}
