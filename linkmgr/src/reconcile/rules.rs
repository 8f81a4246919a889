//! What has to be asked of the kernel for one rule? Of rules the same one may be there twice, ours and somebody else's.
//!
//! Somebody else's that is as planned is left alone, and nothing is added to it. What is to be ours (`linnet adopt`) is added first, and
//! theirs goes then, so that packets find one of both at any time.

use config::model::PolicyRule;

use super::decide::{Ask, Decision, Step, View, WriteDown};
use crate::request::KernelRequest;
use crate::status::{Item, ItemState, StopLevel};

impl View<'_> {
    pub(super) fn rule(&self, item: &Item, rule: &PolicyRule) -> Decision {
        let is_planned = self.stopping != Some(StopLevel::Clean)
            && self.plan.is_some_and(|plan| plan.rules.contains(rule));
        let own = self.observed.own();
        let other = own.other_with_rule(rule);
        let is_ours = self.journal.proves(item);
        let is_adopting = self.adopting.contains(item);
        let (step, request, write_down) = match (is_planned, own.has_rule(rule)) {
            (true, true) if is_ours => match other.filter(|_| is_adopting) {
                None => return Decision::Settled(ItemState::Ours),
                Some(protocol) => {
                    let request = KernelRequest::TakeRule(rule.clone(), protocol);
                    (Step::RuleGone, request, WriteDown::Nothing)
                }
            },
            (true, true) => return Decision::Settled(ItemState::Adopted),
            (true, false) if other.is_some() && !is_adopting => {
                return Decision::Settled(ItemState::Adopted);
            }
            (true, false) => {
                let request = KernelRequest::AddRule(rule.clone());
                (Step::Rule, request, WriteDown::Ours(None))
            }
            (false, true) if is_ours => {
                let request = KernelRequest::DeleteRule(rule.clone());
                (Step::RuleGone, request, WriteDown::Nothing)
            }
            (false, true | false) => return Decision::Nothing,
        };
        Decision::Ask(Ask {
            step,
            request,
            write_down,
        })
    }
}
