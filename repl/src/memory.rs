//! How the program gets along with the allocator of the system.

/// Keeps memory that was freed for what comes next. Every step of training asks for the same
/// hundreds of megabytes; the GNU allocator would hand them back to the system in between, which
/// clears each page before it gives it out again. To be called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_freed() {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};
    let settings =
        [(M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, LARGEST_SHARED), (M_TRIM_THRESHOLD, MOST_KEPT)];
    for (name, value) in settings {
        // SAFETY: sets a number of the allocator; what it does not take changes nothing.
        #[allow(unsafe_code)]
        unsafe {
            mallopt(name, value);
        }
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed() {}

/// Blocks above this many bytes come from the system and go back to it, such as the weights of a
/// large model; the allocator takes no more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGEST_SHARED: i32 = 32 << 20;

/// Bytes that are kept at most.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MOST_KEPT: i32 = 512 << 20;
