//! Sets as the device keeps them: element types, narrow labels, several buffers, scaling; training is the same in each.

use half::f16;
use wgrad::gpu::Checks;
use wgrad::kernel::gather::{self, Part};
use wgrad::kernel::map::Rows;
use wgrad::kernel::{Binding, Input};
use wgrad::{Activation, Dataset, Loss, Network, Scaling, TrainOptions, Trainer};

use crate::problem::{Problem, ROWS, bytes_of};
use crate::support::{Random, assert_close, bits, flat, gpu, learnable};

/// Finds rows that come from the wrong part, or from none; a row's 1 that is shifted; and a row past the minibatch that is not finite.
#[test]
fn gathered_rows_are_the_minibatchs() {
    for input in [Input::SetU8, Input::SetF16, Input::SetF32] {
        for size in [(33, 7, 1), (5, 1, 1), (1, 784, 1)] {
            for scales in [false, true] {
                let problem = Problem::new(size, input);
                let (inputs, stride) = (size.1 as usize, (size.1 as usize / 4 + 1) * 4);
                let (shift, scale) = (|at: usize| at as f32 / 8.0 - 1.0, |at: usize| 0.25 + (at % 3) as f32);
                let fill = |value: &dyn Fn(usize) -> f32, rest| {
                    (0..stride).map(move |at| if at < inputs { value(at) } else { rest }).collect::<Vec<f32>>()
                };
                let scaling = [fill(&shift, 0.0), fill(&scale, 1.0)].concat();
                let mut minibatch = vec![f32::NAN; (size.0 as usize).next_multiple_of(4) * stride];
                for (first_row, rows) in [(0, ROWS / 3), (ROWS / 3, ROWS - ROWS / 3)] {
                    let part = Part { first_row, rows };
                    let rows_of_minibatch = Rows { batch: size.0, width: size.1, is_image: false };
                    let launch = gather::launch(rows_of_minibatch, input, part, scales, 8);
                    let whole = problem.contents(&gather::launch(rows_of_minibatch, input, part, false, 8));
                    let mut contents: Vec<Vec<u8>> = launch
                        .bindings
                        .iter()
                        .map(|&(slot, _)| match slot {
                            Binding::Input => {
                                let row_bytes = stride * input.quad_bytes() as usize / 4;
                                whole[0][first_row as usize * row_bytes..][..rows as usize * row_bytes].to_vec()
                            }
                            Binding::Scaling => bytemuck::cast_slice(&scaling).to_vec(),
                            Binding::Output => bytemuck::cast_slice(&minibatch).to_vec(),
                            _ => whole[1].clone(),
                        })
                        .collect();
                    gpu().run_once(&launch, &mut contents, Checks::On).unwrap();
                    minibatch = bytemuck::pod_collect_to_vec(bytes_of(&launch, &contents, Binding::Output));
                }
                // Places past the minibatch hold some row: its gradient is 0, but it has to be finite.
                assert!(minibatch.iter().all(|value| value.is_finite()));
                for (x, row) in problem.x.chunks_exact(inputs).zip(minibatch.chunks_exact(stride)) {
                    for (at, &value) in x.iter().enumerate() {
                        let expected =
                            if scales { (value - f64::from(shift(at))) * f64::from(scale(at)) } else { value };
                        assert!(
                            (f64::from(row[at]) - expected).abs() <= 1e-6 * (1.0 + expected.abs()),
                            "{input:?} {size:?} feature {at}"
                        );
                    }
                    assert_eq!(row[inputs], 1.0);
                    assert!(row[inputs + 1..].iter().all(|&value| value == 0.0));
                }
            }
        }
    }
}

fn options() -> TrainOptions {
    TrainOptions { batch_size: 24, steps: Some(20), ..TrainOptions::default() }
}

fn trained(set: &Dataset, options: TrainOptions) -> (Vec<u32>, Vec<f64>, f64) {
    let network = Network::classifier(set.width(), &[12], Activation::Relu, set.classes());
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    trainer.fit(set, None).unwrap();
    let weights = trainer.weights().unwrap();
    let loss = trainer.evaluate(set).unwrap().loss;
    (bits(&weights), flat(&weights), loss)
}

/// Finds f16 read as something else than what it is.
#[test]
fn half_precision_features_train_as_their_values_do() {
    let mut random = Random(11);
    let halves: Vec<f16> = (0..100 * 9).map(|_| f16::from_f64(random.value())).collect();
    let labels: Vec<u32> = (0..100).map(|row| u32::from(halves[row * 9] > halves[row * 9 + 1])).collect();
    let floats = halves.iter().map(|value| value.to_f32()).collect();
    let half = trained(&Dataset::from_f16(halves.clone(), 9, labels.clone()).unwrap(), options());
    let whole = trained(&Dataset::from_f32(floats, 9, labels).unwrap(), options());
    assert_close("weights", &half.1, &whole.1, 2e-5);
    assert!((half.2 - whole.2).abs() < 1e-5);
    let mut bad = halves;
    bad[21] = f16::INFINITY;
    let error = Dataset::from_f16(bad, 9, vec![0; 100]).unwrap_err().to_string();
    assert!(error.contains("feature 3 of row 2"), "{error}");
}

/// Finds a scaling that the device applies to the wrong feature, or not in evaluation.
#[test]
fn scaled_bytes_train_as_scaled_floats_do() {
    let bytes = learnable(100, 9, 3, 5);
    let mut random = Random(5);
    let features: Vec<f32> = (0..100 * 9).map(|_| f32::from(random.bits() as u8) / 255.0).collect();
    let floats = Dataset::from_f32(features, 9, bytes.labels().to_vec()).unwrap();
    let scaling = Scaling {
        shift: (0..9).map(|at| f64::from(at) / 10.0).collect(),
        scale: (0..9).map(|at| 1.0 + at as f32).collect(),
    };
    let by_device = trained(&bytes.with_scaling(scaling.clone()).unwrap(), options());
    let by_host = trained(&floats.with_scaling(scaling).unwrap(), options());
    assert_close("weights", &by_device.1, &by_host.1, 2e-5);
    assert!((by_device.2 - by_host.2).abs() < 1e-5);
}

/// Finds labels of 8 and 16 bits that lose a bit, or get their neighbour's; and an ignored row that counts. Weights of 1 beside them keep labels at
/// 32 bits, and change nothing else.
#[test]
fn narrow_labels_are_the_same_labels() {
    for classes in [10u32, 255, 256, 300] {
        let mut random = Random(u64::from(classes));
        let features: Vec<u8> = (0..101 * 5).map(|_| random.bits() as u8).collect();
        let mut labels: Vec<u32> = (0..101).map(|_| random.below(classes as usize) as u32).collect();
        labels[7] = classes - 1;
        labels[50] = -100i32 as u32;
        labels[51] = -100i32 as u32;
        let narrow = Dataset::from_u8(features, 5, labels).unwrap();
        let wide = narrow.clone().with_sample_weights(vec![1.0; 101]).unwrap();
        let loss = Loss::SoftmaxCrossEntropy {
            label_smoothing: 0.0,
            class_weights: None,
            ignore_index: Some(-100),
            gamma: 0.0,
        };
        let of = |set: &Dataset| {
            let network = Network::classifier(5, &[4], Activation::Relu, classes as usize);
            let mut trainer = Trainer::on(gpu(), network, TrainOptions { loss: loss.clone(), ..options() }).unwrap();
            trainer.fit(set, None).unwrap();
            (bits(&trainer.weights().unwrap()), trainer.evaluate(set).unwrap())
        };
        assert_eq!(of(&narrow), of(&wide), "{classes} classes");
    }
}

/// Finds rows of a later part that are read from the first, in a set larger than one binding of the adapter, which is 128 MiB on lavapipe.
#[test]
fn a_set_in_parts_trains_as_its_rows_do() {
    const WIDTH: usize = 4000;
    let most = gpu().adapter().max_binding_bytes.min(160 << 20) as usize;
    let rows = most / WIDTH + 500;
    let mut random = Random(3);
    // What a row is depends on its number alone, and its label on where it is.
    let row = |number: usize| (0..WIDTH).map(move |at| (number * 31 + at * (1 + number % 7)) as u8);
    let features: Vec<u8> = (0..rows).flat_map(row).collect();
    let labels: Vec<u32> = (0..rows).map(|_| random.below(3) as u32).collect();
    let set = Dataset::from_u8(features, WIDTH, labels).unwrap();
    let options = TrainOptions { batch_size: 256, steps: Some(6), ..options() };
    let (_, weights, _) = trained(&set, options.clone());

    // The same minibatches, gathered by the host.
    let visited = (0..6 * 256).map(|at| crate::reference::row_of(at, rows as u32, 0, 0) as usize);
    let brought = set.select(visited).unwrap();
    let (_, same, _) = trained(&brought, TrainOptions { shuffle: false, ..options });
    assert_close("weights", &weights, &same, 2e-5);
}
