//! Where several threads write to places of their own.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Room that is written part by part.
pub struct Place<'a, T>(*mut T, PhantomData<&'a mut [T]>);

// SAFETY: the only thing done with it is to find the place of a number; who writes there answers for
// it.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Place<'_, T> {}

impl<'a, T> Place<'a, T> {
    pub fn of(room: &'a mut [T]) -> Self {
        Self(room.as_mut_ptr(), PhantomData)
    }

    /// Room for a vector that is not as long yet.
    pub fn spare(vector: &'a mut Vec<T>) -> Self {
        Self(vector.as_mut_ptr(), PhantomData)
    }

    pub fn from(first: *mut T) -> Self {
        Self(first, PhantomData)
    }

    pub fn at(&self, number: usize) -> *mut T {
        self.0.wrapping_add(number)
    }

    /// Some of it, to write to.
    ///
    /// # Safety
    /// The part must lie in the room, hold values, and nobody else may use it meanwhile.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    pub unsafe fn part(&self, first: usize, count: usize) -> &mut [T] {
        // SAFETY: what the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.at(first), count) }
    }
}

/// Room filled with zeros, just before something is written over them: they are in the cache then.
pub fn zeroed(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    for number in &mut *room {
        number.write(0.0);
    }
    // SAFETY: every number has just been written.
    #[allow(unsafe_code)]
    unsafe {
        room.assume_init_mut()
    }
}
