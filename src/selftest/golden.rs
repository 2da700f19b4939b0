//! The numbers of PyTorch: whole trajectories, computed there in float64, step by step. `tests/golden/make_golden.py` wrote the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;
use serde_json::Value;

use super::compared::{Agreed, Compared, words};
use crate::activation::Activation;
use crate::checkpoint::groups;
use crate::data::{Dataset, ReadOptions};
use crate::error::Error;
use crate::gpu::Gpu;
use crate::layout::Image;
use crate::loss::Loss;
use crate::model::{chain, f32_values, layers, parse};
use crate::named::Named;
use crate::network::{Form, Network, Parameter, from_json};
use crate::optimizer::{Optimizer, Rule};
use crate::options::TrainOptions;
use crate::preprocessing::ChannelOrder;
use crate::schedule::{Decay, Schedule};
use crate::trainer::Trainer;
use crate::weights::Weights;

/// ‖out − PyTorch's‖ / ‖PyTorch's‖ after a whole trajectory.
const TOLERANCE: f64 = 2e-5;

/// The most steps of a trajectory: each is a submission and a read.
const MOST_STEPS: usize = 10_000;

macro_rules! embedded {
    ($($list:ident: $folder:literal $($name:literal)*;)*) => {
        $(
            /// Trajectories that are part of this crate, by name.
            pub const $list: &[(&str, &[u8])] =
                &[$(($name, include_bytes!(concat!("../../tests/", $folder, "/", $name, ".safetensors")))),*];
        )*
    };
}

embedded! {
    EMBEDDED: "golden"
    "activation_elu" "activation_gelu" "activation_gelu-tanh" "activation_leaky-relu" "activation_sigmoid" "activation_silu"
    "activation_softplus" "activation_tanh" "adadelta" "adagrad" "adagrad_weight_decay" "adam" "adam_weight_decay" "adamw"
    "adamw_amsgrad" "amsgrad" "batch_of_one" "binary" "class_weights" "clip_grad_norm" "clip_grad_value" "cosine_lr" "deep"
    "everything_at_once" "exponential_lr" "huber" "ignore_index" "kl_divergence" "l1" "label_smoothing" "momentum" "mse" "multilabel"
    "muon" "muon_match_rms_adamw" "nadam" "nesterov" "odd_sizes" "one_cycle_lr" "polynomial_lr" "pos_weight" "residual" "residual_of_the_inputs" "rmsprop"
    "rmsprop_momentum_centered" "rmsprop_weight_decay" "sgd" "short_last_batch" "soft_smoothed_weighted" "soft_targets" "step_lr"
    "warmup_cosine_lr" "weight_decay_sgd";
    // Of networks of images, norms, tokens and other layers.
    EMBEDDED_NETS: "golden-nets"
    "accumulate" "attention" "autoencoder" "batch_norm" "batch_norm_short_batch" "conv_dilation" "conv_groups" "conv_same" "conv_stride" "conv_valid" "ema"
    "embed" "embed_ignored" "embedding" "embedding_mean" "global_pool" "gpt" "gpt_ignored" "gpt_tied" "group_norm" "groups_adamw" "groups_frozen" "groups_frozen_norm" "layer_norm"
    "pool_overlap" "pools" "resnet" "rms_norm" "weight_decay_clip";
}

/// One trajectory: what to run, and what has to come out.
pub struct Trajectory {
    /// Its file's name, without the extension.
    pub name: String,
    network: Network,
    options: TrainOptions,
    set: Dataset,
    initial: Weights,
    losses: Vec<f64>,
    /// Gradients of the first step, in the order of [`flat`], before clipping.
    gradients: Vec<f64>,
    /// Weights and bias of every layer after the last step, in that order.
    weights: Vec<f64>,
    /// The outputs for all rows after training, where the file has them.
    outputs: Option<Vec<f64>>,
}

/// What comes of some steps.
struct After {
    losses: Vec<f64>,
    weights: Weights,
    outputs: Vec<f64>,
}

/// All weights and biases in one list.
fn flat(weights: &Weights) -> Vec<f64> {
    let parts = weights.layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias));
    parts.map(|&value| value.into()).collect()
}

/// The trajectories in a folder's safetensors files, in the order of their names.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Format`], naming the file and what is wrong with it; a folder without any is an error too.
pub fn read_folder(folder: &Path) -> Result<Vec<Trajectory>, Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths =
        entries.map(|entry| Ok(entry.map_err(Error::io(folder))?.path())).collect::<Result<Vec<PathBuf>, _>>()?;
    let mut files: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "safetensors")).collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::format(folder, "it has no .safetensors file: a folder of trajectories is needed"));
    }
    files.iter().map(|file| Trajectory::read(file, &crate::files::read_whole(file)?)).collect()
}

impl Trajectory {
    /// Reads the trajectory in these bytes; the path gives its name, and is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Format`], saying what is wrong.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: String| Error::format(path, reason);
        let file = parse(path, bytes)?;
        let case = case_of(path, bytes)?;
        let said = Said { path, value: &case };

        let network = network(said, &file)?;
        let is_list = case["layers"][0].is_object();
        let parameters = if is_list { network.parameters_as_listed() } else { network.named_parameters() };
        let of = |prefix: &str, parameters: &[Parameter]| {
            layers(path, &file, prefix, parameters).map(|layers| Weights { layers })
        };
        let weights = |prefix: &str| of(prefix, &parameters);
        let trained: Vec<Parameter> = parameters.iter().filter(|parameter| parameter.is_trained()).cloned().collect();

        let losses = file.tensor("loss").map_err(|_| wrong("it has no tensor loss".into()))?;
        let losses: Vec<f64> = f32_values(path, "loss", &losses)?.into_iter().map(f64::from).collect();
        let steps = said.at("steps").number()?;
        if steps != losses.len() as f64 || losses.is_empty() || losses.len() > MOST_STEPS {
            return Err(wrong(format!(
                "it says {steps} steps and has {} losses: one a step, 1 to {MOST_STEPS}",
                losses.len()
            )));
        }
        let mut options = options(said)?;
        let tokens = matches!(network.input(), Form::Tokens(_));
        let read = ReadOptions { channels: Some(ChannelOrder::Last), tokens, ..ReadOptions::default() };
        let set = Dataset::from_bytes(bytes, &read).map_err(|error| wrong(error.to_string()))?;
        ignore_as_pytorch(&mut options.loss, &set);
        options.check(&network).map_err(|error| wrong(error.to_string()))?;
        Ok(Trajectory {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            set,
            gradients: flat(&of("grad0.", &trained)?),
            outputs: outputs_of(path, &file)?,
            weights: flat(&weights("final.")?),
            initial: weights("init.")?,
            network,
            options,
            losses,
        })
    }

    /// Runs it one step at a time: the first gradients, the losses of its steps and the final weights must be PyTorch's.
    ///
    /// # Errors
    ///
    /// A message about the first result that is not as expected.
    pub fn agrees(&self, gpu: &Arc<Gpu>) -> Agreed {
        let name = &self.name;
        let mut compared = Compared::default();
        // With so large a rate, a step of gradient descent dwarfs the weight, and the difference gives the gradient.
        let rate = 1e4;
        let descent = TrainOptions {
            optimizer: Optimizer::sgd(rate),
            schedule: Schedule::default(),
            groups: vec![],
            ema: None,
            clip_grad_norm: None,
            clip_grad_value: None,
            ..self.options.clone()
        };
        let after = self.trained(gpu, descent, 1).map_err(words)?;
        let (before, after) = (self.trained_values(&self.initial), self.trained_values(&after.weights));
        let gradients: Vec<f64> = before.iter().zip(&after).map(|(before, after)| (before - after) / rate).collect();
        compared.close(format_args!("{name}: first gradients"), &gradients, &self.gradients, TOLERANCE)?;

        let after = self.trained(gpu, self.options.clone(), self.losses.len()).map_err(words)?;
        compared.close(format_args!("{name}: losses"), &after.losses, &self.losses, TOLERANCE)?;
        compared.close(format_args!("{name}: weights"), &flat(&after.weights), &self.weights, TOLERANCE)?;
        if let Some(outputs) = &self.outputs {
            compared.close(format_args!("{name}: outputs after training"), &after.outputs, outputs, TOLERANCE)?;
        }
        compared.agreed()
    }

    /// The values of all parameters that are trained.
    fn trained_values(&self, weights: &Weights) -> Vec<f64> {
        let parameters = self.network.named_parameters();
        let all = weights.layers.iter().zip(&parameters).filter(|(_, parameter)| parameter.is_trained());
        flat(&Weights { layers: all.map(|(values, _)| values.clone()).collect() })
    }

    /// What comes of the first `steps` steps.
    fn trained(&self, gpu: &Arc<Gpu>, options: TrainOptions, steps: usize) -> Result<After, Error> {
        let mut trainer = Trainer::on(Arc::clone(gpu), self.network.clone(), options)?;
        trainer.set_weights(&self.initial)?;
        let mut losses = vec![];
        for _ in 0..steps {
            losses.extend(trainer.fit(&self.set, None)?.epochs.first().map(|epoch| epoch.training.loss));
        }
        let outputs = trainer.logits(&self.set)?.into_iter().map(f64::from).collect();
        Ok(After { losses, weights: trainer.weights()?, outputs })
    }
}

/// The outputs for all rows after training, where the file has them.
fn outputs_of(path: &Path, file: &SafeTensors<'_>) -> Result<Option<Vec<f64>>, Error> {
    let Ok(outputs) = file.tensor("eval") else { return Ok(None) };
    f32_values(path, "eval", &outputs).map(|outputs| Some(outputs.into_iter().map(f64::from).collect()))
}

/// The network of the trajectory in these bytes.
///
/// # Errors
///
/// As [`Trajectory::read`], of the network alone.
pub fn network_of(path: &Path, bytes: &[u8]) -> Result<Network, Error> {
    network(Said { path, value: &case_of(path, bytes)? }, &parse(path, bytes)?)
}

/// What a file says of its case.
fn case_of(path: &Path, bytes: &[u8]) -> Result<Value, Error> {
    let wrong = |reason: String| Error::format(path, reason);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
    let text = header.metadata().as_ref().and_then(|entries| entries.get("case"));
    let text = text.ok_or_else(|| wrong("it has no \"case\" in its metadata: it is not a trajectory".into()))?;
    serde_json::from_str(text).map_err(|error| wrong(format!("its case: {error}")))
}

/// The network of a case: a list of layers, or a chain of which it says the activation.
fn network(case: Said<'_>, file: &SafeTensors<'_>) -> Result<Network, Error> {
    let wrong = |reason: String| Error::format(case.path, reason);
    let list = &case.value["layers"];
    if list[0].is_object() {
        let x = file.tensor("x").map_err(|_| wrong("it has no tensor x".into()))?;
        let input = match x.shape() {
            &[_, height, width, channels] => {
                let [height, width, channels] = [height, width, channels].map(|side| side as u32);
                Form::Image(Image { height, width, channels })
            }
            shape if list[0].get("embedding").is_some() => Form::Tokens(shape.get(1).copied().unwrap_or(1)),
            shape => Form::Features(shape.get(1).copied().unwrap_or_default()),
        };
        let activation = |word: &str| Activation::from_word(word).map_err(|error| error.to_string());
        return from_json(list, &activation).map(|layers| Network::of_form(input, layers)).map_err(wrong);
    }
    let activation = case.at("activation").text()?.parse().map_err(|error: Error| wrong(error.to_string()))?;
    let chain = chain(case.path, file, "init.", &None, &[])?;
    let widths: Vec<usize> = chain.widths().map(|(_, outputs)| outputs).collect();
    let (last, hidden) = widths.split_last().ok_or_else(|| wrong("it has no tensor init.0.weight".into()))?;
    Ok(Network::classifier(chain.inputs(), hidden, activation, *last))
}

/// A value in a file's case; errors name the file.
#[derive(Clone, Copy)]
struct Said<'a> {
    path: &'a Path,
    value: &'a Value,
}

impl<'a> Said<'a> {
    /// The value of a key; null if there is none.
    fn at(self, name: &str) -> Self {
        Said { value: &self.value[name], ..self }
    }

    fn wrong(self, wanted: &str) -> Error {
        Error::format(self.path, format!("its case has {} where {wanted} is needed", self.value))
    }

    fn text(self) -> Result<&'a str, Error> {
        self.value.as_str().ok_or_else(|| self.wrong("a name"))
    }

    fn number(self) -> Result<f64, Error> {
        self.value.as_f64().ok_or_else(|| self.wrong("a number"))
    }

    fn number_if_any(self) -> Option<f64> {
        self.value.as_f64()
    }

    fn or(self, default: f64) -> f64 {
        self.value.as_f64().unwrap_or(default)
    }

    fn is_on(self) -> bool {
        self.value.as_bool().unwrap_or(false)
    }

    /// A list of numbers, if there is any.
    fn list(self) -> Result<Option<Vec<f64>>, Error> {
        let number = |value| Said { value, ..self }.number();
        self.value.as_array().map(|list| list.iter().map(number).collect()).transpose()
    }

    fn unknown(self, what: &str) -> Error {
        Error::format(self.path, format!("its {what} {} is not supported in trajectories", self.value))
    }
}

fn optimizer(case: Said<'_>) -> Result<Optimizer, Error> {
    let given = case.at("optimizer_args");
    let betas = given.at("betas").list()?.unwrap_or_default();
    let (beta1, beta2) = (betas.first().copied().unwrap_or(0.9), betas.get(1).copied().unwrap_or(0.999));
    let eps = || given.at("eps").number();
    let rule = match case.at("optimizer").text()? {
        "SGD" => Rule::Sgd { momentum: given.at("momentum").or(0.0), nesterov: given.at("nesterov").is_on() },
        "Adam" => Rule::Adam { beta1, beta2, eps: eps()?, amsgrad: given.at("amsgrad").is_on() },
        "AdamW" => Rule::AdamW { beta1, beta2, eps: eps()?, amsgrad: given.at("amsgrad").is_on() },
        "NAdam" => Rule::NAdam {
            beta1,
            beta2,
            eps: given.at("eps").or(1e-8),
            momentum_decay: given.at("momentum_decay").or(4e-3),
        },
        "Muon" => Rule::Muon {
            momentum: given.at("momentum").or(0.95),
            nesterov: given.at("nesterov").value.as_bool().unwrap_or(true),
            match_rms_adamw: given.at("adjust_lr_fn").value == "match_rms_adamw",
            eps: 1e-7,
            ns_steps: 5.0,
            adamw_lr: case.at("adamw_args").at("lr").number()?,
            beta1,
            beta2,
            adamw_eps: 1e-8,
        },
        "Adagrad" => Rule::Adagrad { eps: eps()? },
        "Adadelta" => Rule::Adadelta { rho: given.at("rho").or(0.9), eps: given.at("eps").or(1e-6) },
        "RMSprop" => Rule::RmsProp {
            alpha: given.at("alpha").number()?,
            eps: eps()?,
            momentum: given.at("momentum").or(0.0),
            centered: given.at("centered").is_on(),
        },
        _ => return Err(case.at("optimizer").unknown("optimizer")),
    };
    let defaults = Optimizer::new(rule);
    Ok(Optimizer {
        lr: given.at("lr").number()?,
        weight_decay: given.at("weight_decay").or(defaults.weight_decay),
        rule,
    })
}

/// What the case says of training, a step at a time.
fn options(case: Said<'_>) -> Result<TrainOptions, Error> {
    Ok(TrainOptions {
        loss: loss(case)?,
        optimizer: optimizer(case)?,
        groups: groups::from_json(&case.value["groups"])?,
        ema: case.at("ema").number_if_any(),
        accumulate: case.at("accumulate").or(1.0) as usize,
        schedule: schedule(case)?,
        clip_grad_norm: case.at("clip_grad_norm").number_if_any(),
        clip_grad_value: case.at("clip_grad_value").number_if_any(),
        batch_size: case.at("batch_size").number()? as usize,
        steps: Some(1),
        shuffle: false,
        ..TrainOptions::default()
    })
}

/// The label that PyTorch's cross-entropy ignores by default.
const IGNORED: i64 = -100;

/// Lets a loss without an `ignore_index` ignore PyTorch's default, where the set has that label.
fn ignore_as_pytorch(loss: &mut Loss, set: &Dataset) {
    if let Loss::SoftmaxCrossEntropy { ignore_index: index @ None, .. } = loss {
        *index = set.labels().contains(&(IGNORED as u32)).then_some(IGNORED);
    }
}

fn loss(case: Said<'_>) -> Result<Loss, Error> {
    let given = case.at("loss_args");
    Ok(match case.at("loss").text()? {
        "softmax_cross_entropy" => Loss::SoftmaxCrossEntropy {
            label_smoothing: given.at("label_smoothing").or(0.0),
            class_weights: given.at("weight").list()?,
            ignore_index: given.at("ignore_index").value.as_i64(),
            gamma: 0.0,
        },
        "sigmoid_cross_entropy" => Loss::SigmoidCrossEntropy { pos_weight: given.at("pos_weight").list()?, gamma: 0.0 },
        "kl_divergence" => Loss::KlDivergence,
        "mse" => Loss::MeanSquaredError,
        "l1" => Loss::MeanAbsoluteError,
        "huber" => Loss::Huber { delta: given.at("delta").number()? },
        _ => return Err(case.at("loss").unknown("loss")),
    })
}

/// PyTorch's schedulers, one or two after each other: a warm-up, and what comes after it.
fn schedule(case: Said<'_>) -> Result<Schedule, Error> {
    let schedulers = case.at("schedule").value.as_array().map_or(&[][..], Vec::as_slice);
    let mut schedule = Schedule::default();
    for scheduler in schedulers {
        let (kind, given) = (Said { value: &scheduler[0], ..case }, Said { value: &scheduler[1], ..case });
        schedule.decay = match kind.text()? {
            "LinearLR" => {
                schedule.warmup = given.at("total_iters").number()? as u32;
                schedule.start_factor = given.at("start_factor").number()?;
                continue;
            }
            "StepLR" => Decay::Step { step_size: given.at("step_size").number()?, gamma: given.at("gamma").number()? },
            "ExponentialLR" => Decay::Exponential { gamma: given.at("gamma").number()? },
            "PolynomialLR" => Decay::Polynomial {
                total_iters: given.at("total_iters").number_if_any(),
                power: given.at("power").number()?,
            },
            "CosineAnnealingLR" => {
                Decay::Cosine { t_max: given.at("T_max").number_if_any(), eta_min: given.at("eta_min").or(0.0) }
            }
            "OneCycleLR" => Decay::OneCycle {
                total_steps: given.at("total_steps").number_if_any(),
                pct_start: 0.3,
                div_factor: 25.0,
                final_div_factor: 1e4,
            },
            _ => return Err(kind.unknown("schedule")),
        };
    }
    Ok(schedule)
}
