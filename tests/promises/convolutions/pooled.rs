//! Convolutions that take in the max pool behind them.

use wgrad::gpu::Checks;
use wgrad::kernel::conv::forward;
use wgrad::kernel::{Binding, pool};
use wgrad::layout::{Image, Sliding, Window};
use wgrad::{Activation, Epilogue};

use super::{CASES, Operands};
use crate::support::{families, gpu};

/// Finds a pixel in another window than its own, one that no window covers and that is pooled, a residual that is added after the pool, a tap that did not win:
/// a convolution with a max pool in its kernel has the bits of the two kernels.
#[test]
fn a_pool_in_the_kernel_has_the_bits_of_one_behind_it() {
    let mut compared = 0;
    for (at, &case) in CASES.iter().enumerate() {
        let operands = Operands::new(case);
        let (conv, Sliding { batch, output: input, .. }) = (operands.conv, operands.conv.sliding);
        if conv.groups > 1 || input.height < 2 || input.width < 2 {
            continue;
        }
        let output = Image { height: input.height / 2, width: input.width / 2, ..input };
        let window = Window { size: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };
        let sliding = Sliding { batch, input, output, window };
        assert!(pool::can_be_fused(sliding), "{case}");
        let (epilogue, adds) = (Epilogue::of([Activation::Relu, Activation::Identity][at % 2]), at % 3 != 0);
        for family in families() {
            let tile = family.tile(forward::blocks(conv));
            let what = format!("{case}, {tile}");
            let alone = forward::launch(conv, epilogue, None, adds, tile);
            let image: Vec<f32> =
                operands.run(&alone, Binding::Output, Checks::Off).into_iter().map(|value| value as f32).collect();
            let bytes = operands.image(&[], output, 0.0).len();
            let mut behind = vec![bytemuck::cast_slice(&image).to_vec(), vec![0; bytes / 4], vec![0; bytes]];
            let launch = pool::max_forward(sliding, true, 8);
            gpu().run_once(&launch, &mut behind, Checks::Off).unwrap();

            let tile = family.tile(forward::blocks_of_windows(conv));
            let fused = forward::launch_with(conv, true, epilogue, Some(0), adds, tile);
            let content = |binding| match binding {
                Binding::Output => vec![0xff; bytes],
                Binding::Winners => vec![0xff; bytes / 4],
                other => operands.content(&fused, other),
            };
            let bound = || fused.bindings.iter().map(|&(binding, _)| binding);
            let mut contents: Vec<Vec<u8>> = bound().map(content).collect();
            gpu().run_once(&fused, &mut contents, Checks::Off).unwrap();
            let place = |binding| bound().position(|known| known == binding).unwrap();
            let y = &contents[place(Binding::Output)];
            assert_eq!(y, &behind[2], "{what}: values");
            // Of zeros under ReLU another one may win, which changes no gradient.
            for (at, (own, other)) in contents[place(Binding::Winners)].iter().zip(&behind[1]).enumerate() {
                let is_zero = y[4 * at..4 * at + 4] == [0; 4];
                assert!(own == other || is_zero && epilogue.activation == Activation::Relu, "{what}: winner {at}");
            }
        }
        compared += 1;
    }
    assert!(compared >= 10, "{compared}");
}
