//! Is the client that runs the one that is wanted? [`renew`] keeps it or makes another.

/// Apart from the link: a thousand links with a static address each have none of them.
pub(super) type Slot<C, S> = Option<Box<Running<C, S>>>;

/// A client, and what it was made of: with other settings it is another one.
#[derive(Debug)]
pub(super) struct Running<C, S> {
    pub(super) client: C,
    pub(super) settings: S,
}

/// Has a client with these settings run: the one that runs with the same goes on.
pub(super) fn renew<C, S: PartialEq>(
    slot: &mut Slot<C, S>,
    wanted: Option<S>,
    make: impl FnOnce(&S) -> C,
) {
    let Some(settings) = wanted else {
        *slot = None;
        return;
    };
    let running = slot.as_ref();
    if running.is_none_or(|running| running.settings != settings) {
        let client = make(&settings);
        *slot = Some(Box::new(Running { client, settings }));
    }
}
