//! Stands in for the crate `cubecl-llvm`, whose build script downloads an LLVM of its own.
//!
//! With it the feature `cuda` builds offline: kernels go the way of CUDA C++, compiled by the
//! driver's NVRTC at run time, and every request to compile through LLVM is refused.
use cubecl_core::{ir::nvidia::SmArch, prelude::KernelDefinition};
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::{compiler::{CompilationError, Compiler}, kernel::BufferIOAttr};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget { #[default] Cpu, AmdGpu, Nvptx }
pub mod target { pub use super::LlvmTarget; }

#[derive(Clone, Debug, Default)]
pub struct PlironCompiler { pub target: LlvmTarget }

#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    pub arch: Option<()>,
    pub sm_arch: Option<SmArch>,
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    pub grid_constants: bool,
}

#[derive(Clone, Debug)]
pub struct NvptxModule {
    pub ptx: Vec<core::ffi::c_char>,
    pub entrypoint: String,
    pub ir: String,
    pub shared_memory_size: usize,
    pub io: Vec<BufferIOAttr>,
}

#[derive(Clone)]
pub enum PlironArtifact { NvptxCode(NvptxModule), None }

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;
    fn compile(&mut self, _k: KernelDefinition, _o: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic { reason: "built without LLVM".into(), backtrace: BackTrace::capture() })
    }
    fn extension(&self) -> &'static str { "ll" }
    fn lang_tag(&self) -> &'static str { "llvm" }
}

pub mod nvptx { pub mod ptx_version {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct PtxVersion(u32);
    impl PtxVersion { pub fn for_driver(driver: i32) -> Option<Self> { (driver > 0).then_some(Self(driver as u32)) } }
    impl core::fmt::Display for PtxVersion { fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { write!(f, "ptx{}", self.0) } }
} }
pub mod shared { pub mod lowered_features {
    use cubecl_core::ir::DeviceProperties;
    #[derive(Clone, Copy, Debug)]
    pub enum GpuTarget { Nvptx }
    pub fn restrict_features(_p: &mut DeviceProperties, _t: GpuTarget) {}
} }
impl core::fmt::Display for PlironArtifact { fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { f.write_str("no LLVM") } }
