//! How exactly matrix products are computed.

use std::cell::Cell;

pub use crate::cpu::matrix::Precision;

thread_local! {
    static WANTED: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `work`, in which this thread makes projections of this precision, where the device has
/// them; so do the gradients that later pass back through them.
pub fn with_precision<T>(precision: Precision, work: impl FnOnce() -> T) -> T {
    /// Brings back what was before, also when `work` panics.
    struct Before(Precision);
    impl Drop for Before {
        fn drop(&mut self) {
            WANTED.set(self.0);
        }
    }
    let _before = Before(WANTED.replace(precision));
    work()
}

/// What projections made now are to be.
pub fn wanted() -> Precision {
    WANTED.get()
}
