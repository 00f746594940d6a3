//! A panic ends a line, never the session.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `work`; a panic on this thread is caught and kept off the screen.
///
/// # Errors
/// What the panic said, and where in our code.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(
            move |panic| {
                if WATCHED.get() { LAST.set(panic.to_string()) } else { before(panic) }
            },
        ));
    });
    let outer = WATCHED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    WATCHED.set(outer);
    outcome.map_err(|_| LAST.take())
}
