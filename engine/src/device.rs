//! Where tensors live and are computed: chosen here by name, passed along everywhere else.

use anyhow::{Error, Result, bail};
use burn::tensor::Device;
use rwkv_kernels::unit;

/// A device, and what to tell the user of how it was chosen.
#[derive(Clone, Debug)]
pub struct Place {
    /// What models are loaded on.
    pub device: Device,
    /// Its name: `cpu`, `ndarray`, `cuda:0`.
    pub name: String,
    /// Why it is not the one that was asked for.
    pub note: Option<String>,
}

/// Finds a device: `cpu` (the fastest of the processor's), `ndarray`, `cuda`, `cuda:N`, or `auto`
/// (a GPU where there is one).
///
/// A GPU that cannot be had gives the processor and a note that says why.
///
/// # Errors
/// When no device has this name, and when `RWKV_UNIT` names what the processor does not have.
pub fn choose(name: &str) -> Result<Place> {
    unit().map_err(Error::msg)?;
    let place = |device, name: &str| Place { device, name: name.to_string(), note: None };
    match name {
        "cpu" => Ok(place(Device::flex(), "cpu")),
        "ndarray" => Ok(place(ndarray(), "ndarray")),
        "auto" => Ok(cuda(0).unwrap_or_else(|_| place(Device::flex(), "cpu"))),
        _ => match name.strip_prefix("cuda").map(|n| n.strip_prefix(':').unwrap_or("0").parse()) {
            Some(Ok(index)) => Ok(cuda(index).unwrap_or_else(|why| Place {
                note: Some(format!("no CUDA device {index}: {why}; running on the cpu instead.")),
                ..place(Device::flex(), "cpu")
            })),
            _ => bail!("there is no device `{name}`; choose cpu, ndarray, cuda, cuda:N or auto."),
        },
    }
}

/// Burn's older backend for processors. Upstream prefers the one behind `cpu`; it stays for
/// comparison until it is gone there.
#[allow(deprecated)]
fn ndarray() -> Device {
    Device::ndarray()
}

/// A CUDA device, if this build and this machine have it. The driver is asked before the first
/// tensor is, because a tensor on a device that is not there ends in a panic.
#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Place, String> {
    use cudarc::driver::{CudaContext, sys};

    #[allow(unsafe_code)]
    // SAFETY: only looks whether the library can be opened; no symbol of it is called.
    let installed = unsafe { sys::is_culib_present() };
    if !installed {
        return Err("the NVIDIA driver (libcuda) is not installed".to_string());
    }
    let count =
        CudaContext::device_count().map_err(|error| format!("the driver says {error:?}"))?;
    let count = usize::try_from(count).unwrap_or(0);
    if index >= count {
        return Err(format!("this machine has {count}"));
    }
    let name = format!("cuda:{index}");
    Ok(Place { device: Device::cuda(index), name, note: None })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Place, String> {
    Err("this program was built without the feature `cuda`".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        assert_eq!(choose("cpu").unwrap().name, "cpu");
        assert_eq!(choose("ndarray").unwrap().device, ndarray());
        for odd in ["gpu", "cuda:x", "cuda:-1", ""] {
            assert!(choose(odd).unwrap_err().to_string().contains("auto"), "{odd}");
        }
    }

    #[test]
    fn a_missing_gpu_is_said_in_one_sentence() {
        let place = choose("cuda:99").unwrap();
        assert_eq!(place.name, "cpu");
        let note = place.note.unwrap();
        assert!(note.contains("no CUDA device 99") && note.matches('.').count() == 1, "{note}");
    }
}
