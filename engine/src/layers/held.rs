//! What a projection or an embedding stores: a tensor that can be learnt, or numbers as they lie in a
//! file.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param, ParamId,
};
use burn::tensor::{Device, Int, Shape, Tensor};
use rwkv_kernels::{Packed, Weight};

/// A matrix of a layer. Whoever changes it, or learns it, finds a tensor: what is packed is unpacked
/// then.
#[derive(Clone, Debug)]
pub enum Held {
    /// A tensor.
    Plain(Param<Tensor<2>>),
    /// Numbers as they are stored.
    Packed(Fixed),
}

/// A packed matrix in the place of a parameter.
#[derive(Clone, Debug)]
pub struct Fixed {
    weight: Packed,
    id: ParamId,
    device: Device,
}

impl Fixed {
    /// The numbers of a row.
    pub fn row(&self, row: usize) -> Vec<f32> {
        self.weight.row(row)
    }
}

impl Held {
    /// A packed matrix of a model on this device.
    pub fn packed(weight: Packed, device: &Device) -> Self {
        Self::Packed(Fixed { weight, id: ParamId::new(), device: device.clone() })
    }

    /// The same matrix laid out for inputs of which many are zero, if it is one that can be; see
    /// [`Packed::for_zeros`].
    pub fn for_zeros(&self) -> Option<Self> {
        let Self::Packed(fixed) = self else { return None };
        Some(Self::packed(fixed.weight.for_zeros()?, &fixed.device))
    }

    /// Whether it has neither infinities nor NaN; tensors were looked at when they were made.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Packed(fixed) => fixed.weight.is_finite(),
        }
    }

    /// Rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Plain(param) => param.dims(),
            Self::Packed(fixed) => fixed.weight.dims(),
        }
    }

    /// What products read.
    pub fn weight(&self) -> Weight {
        match self {
            Self::Plain(param) => param.val().into(),
            Self::Packed(fixed) => fixed.weight.clone().into(),
        }
    }

    /// As a tensor; what is packed is unpacked for this call.
    pub fn val(&self) -> Tensor<2> {
        match self {
            Self::Plain(param) => param.val(),
            Self::Packed(Fixed { weight, device, .. }) => weight.tensor(device),
        }
    }

    /// Some of its rows, `[rows, columns]`.
    pub fn rows(&self, rows: Tensor<1, Int>) -> Tensor<2> {
        match self {
            Self::Plain(param) => param.val().select(0, rows),
            Self::Packed(Fixed { weight, device, .. }) => {
                let rows: Vec<i64> = rows.into_data().iter::<i64>().collect();
                let rows: Vec<_> = rows.into_iter().map(|row| row as usize).collect();
                weight.rows(&rows, device)
            }
        }
    }

    /// As a parameter, which is unpacked when its numbers are asked for.
    fn param(self) -> Param<Tensor<2>> {
        match self {
            Self::Plain(param) => param,
            Self::Packed(Fixed { weight, id, device }) => {
                let shape = Shape::from(weight.dims());
                let unpack = move |device: &Device, learns: bool| {
                    let tensor = weight.tensor(device);
                    if learns { tensor.require_grad() } else { tensor }
                };
                Param::uninitialized(id, unpack, device, false, shape)
            }
        }
    }
}

impl From<Param<Tensor<2>>> for Held {
    fn from(param: Param<Tensor<2>>) -> Self {
        Self::Plain(param)
    }
}

impl Module for Held {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.clone().param().collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.param().fork(device).into()
    }

    fn to_device(self, device: &Device) -> Self {
        self.param().to_device(device).into()
    }

    fn train(self) -> Self {
        self.param().train().into()
    }

    fn valid(&self) -> Self {
        match self {
            Self::Plain(param) => param.valid().into(),
            Self::Packed(_) => self.clone(),
        }
    }

    fn materialize(self) -> Self {
        match self {
            Self::Plain(param) => param.materialize().into(),
            Self::Packed(_) => self,
        }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        // Each visit has an unpacked copy of its own, if it looks at the numbers at all.
        self.clone().param().visit(visitor);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Module::map(self.param(), mapper).into()
    }
}

impl ModuleDisplayDefault for Held {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("{self:?}")).optional()
    }
}

impl ModuleDisplay for Held {}
