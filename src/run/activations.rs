//! What each layer of a network makes of a row.

use super::buffers::{Buffers, beside, make_buffers, program};
use super::outputs::{UNWRITTEN, request};
use super::state::State;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::{Checks, Gpu, Traffic};
use crate::kernel::tiling::Tiling;
use crate::layout::quads_with_one;
use crate::loss::Loss;
use crate::network::{Form, Network};
use crate::plan::{Plan, Role, SetLayout};

/// What a layer makes of one row, behind its activation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerOutput {
    /// The layer's name in files, as `0` or `2.body.0`.
    pub name: String,
    /// The layer's location, as errors name it: `layer 1`, or `layer 2's body, layer 1`.
    pub location: String,
    /// The word that begins the layer in a list of layers, as `conv`.
    pub kind: &'static str,
    /// The form of what it makes.
    pub form: Form,
    /// The values: features in their order, an image `[height, width, channels]`, row-major.
    pub values: Vec<f32>,
}

/// What each layer makes of the only row of a set, as an evaluation does; `weights` has the buffers of the network's layers. Layers are in the order of the network, each
/// before those within it, without those that pass on what comes in as it is: a flatten, a dropout, a repeat without an activation.
///
/// # Errors
///
/// [`Error::Data`] for a row of another width or form; [`Error::Option`] where an output has no room in one buffer of the device; [`Error::Kernel`],
/// [`Error::OutOfMemory`], [`Error::Device`].
pub(crate) async fn activations(
    gpu: &Gpu,
    network: &Network,
    tiling: &Tiling,
    weights: &Buffers,
    set: &Dataset,
    checks: Checks,
) -> Result<Vec<LayerOutput>, Error> {
    set.check_form(network)?;
    let (own, loss, traffic) = (set.layout(u64::MAX), Loss::default(), &mut Traffic::default());
    let layout = SetLayout { is_scaled: own.is_scaled, ..SetLayout::whole(own.element, 1) };
    let (plan, places) = Plan::activations(request(network, tiling, layout, &loss))?;
    if let Some(buffer) = plan.larger_than(tiling.most_bytes) {
        return Err(Error::Option(format!(
            "{} of one row takes {} bytes in one buffer, and {} can bind at most {}",
            buffer.role,
            buffer.bytes,
            gpu.adapter().name,
            tiling.most_bytes
        )));
    }
    let scaling = beside(gpu, set, &loss, network.outputs()).await?;
    let buffers = make_buffers(gpu, &plan, &[weights, &scaling]).await?;
    gpu.write(&buffers[&Role::State], &[State::new(1, 1)]);
    set.with_device_rows(0..1, quads_with_one(set.width() as u32) as usize, |bytes| {
        gpu.write(&buffers[&Role::Set(0)], bytes);
    });
    for role in places.values() {
        gpu.write(&buffers[role], &[UNWRITTEN]);
    }
    let program = program(gpu, &plan, &[&buffers], checks).await?;
    gpu.submit(traffic, |encoder| program.record(encoder, 1));

    let mut layers = Vec::new();
    network.walk(&mut |located| layers.push((located.layer.output(located.input), located)));
    let mut outputs = Vec::with_capacity(places.len());
    for (layer, role) in places {
        let (form, located) = &layers[layer];
        // Of a block of four rows.
        let [pixels, stride] = [plan.shape(role)[0] as usize / 4, plan.shape(role)[1] as usize];
        let read: Vec<u32> = gpu.read(&buffers[&role], pixels * stride, traffic).await?;
        if read[0] == UNWRITTEN {
            return Err(gpu.unexecuted(&format!("it was handed a row, and {} made nothing of it", located.location)));
        }
        outputs.push(LayerOutput {
            name: located.name.clone(),
            location: located.location.clone(),
            kind: located.layer.word(),
            form: *form,
            values: values(*form, &read, pixels, stride),
        });
    }
    Ok(outputs)
}

/// What is in the memory of one row, whose pixels have this many words each, in the order of [`LayerOutput::values`].
fn values(form: Form, read: &[u32], pixels: usize, stride: usize) -> Vec<f32> {
    let (count, width) = (form.values(), form.values() / pixels);
    let at = |pixel: usize, channel: usize| f32::from_bits(read[pixel * stride + channel]);
    match form {
        // What is flattened lies as the image that it was.
        Form::Flattened(_) => (0..count).map(|value| at(value % pixels, value / pixels)).collect(),
        _ => (0..count).map(|value| at(value / width, value % width)).collect(),
    }
}
