//! Pools: the largest value of a window, the mean of one, and the mean of a whole image.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::Describe;
use super::window::{Padding, Pair, Slide, image, sizes};
use super::words::{self, Words};
use crate::graph::{AveragePool, GlobalAveragePool, MaxPool, Value};
use crate::layout::Image;

/// Declares a pool with a window.
macro_rules! pool {
    ($(#[$about:meta])* $layer:ident, $word:literal, |$x:ident, $sliding:ident, $forward:ident| $op:expr) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $layer {
            /// Pixels of the window, down and across.
            pub window: [usize; 2],
            /// Pixels from one window to the next.
            pub stride: [usize; 2],
            /// Pixels above and below the image, and left and right, that windows reach over it: at most half a window.
            pub padding: [usize; 2],
        }

        impl $layer {
            /// A pool of windows of this many pixels down and across, side by side.
            pub fn new(window: impl Into<Pair>) -> Self {
                let Pair(window) = window.into();
                $layer { window, stride: window, padding: [0; 2] }
            }

            /// The pool with this many pixels from one window to the next, down and across.
            #[must_use]
            pub fn stride(self, stride: impl Into<Pair>) -> Self {
                $layer { stride: stride.into().0, ..self }
            }

            /// The pool with windows that reach this many pixels over the image, above and below, and left and right.
            #[must_use]
            pub fn padding(self, padding: impl Into<Pair>) -> Self {
                $layer { padding: padding.into().0, ..self }
            }

            fn slide(&self) -> Slide {
                let padding = Padding::Pixels(self.padding);
                Slide { called: "window", size: self.window, stride: self.stride, padding, dilation: [1; 2] }
            }
        }

        impl Describe for $layer {
            const WORD: &'static str = $word;
            const OF_IMAGES: bool = true;

            fn output(&self, input: Form) -> Form {
                match input {
                    Form::Image(image) => Form::Image(self.slide().over(1, image, image.channels as usize).output),
                    other => other,
                }
            }

            fn check(&self, input: Form) -> Result<(), String> {
                let image = image(input)?;
                let is_half = |(padding, window): (usize, usize)| padding <= window / 2;
                if !self.padding.into_iter().zip(self.window).all(is_half) {
                    return Err(format!(
                        "a padding of {}: it must be at most half of the window, which is {}",
                        sizes(self.padding),
                        sizes(self.window)
                    ));
                }
                self.slide().check(image, image.channels as usize)?;
                match self.slide().over(1, image, image.channels as usize).window.fits_pools() {
                    true => Ok(()),
                    false => Err(format!(
                        "a window of {}: the largest that a pool may have is one of 126×125; global_avg_pool has the whole image for a window",
                        sizes(self.window)
                    )),
                }
            }

            fn write(&self, $x: Value, input: Form, $forward: &mut Forward) -> Value {
                let Form::Image(image) = input else { return $x };
                let $sliding = self.slide().over($forward.batch($x), image, image.channels as usize);
                $op
            }

            fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
                let window = words.pair(Self::WORD, None)?;
                let stride = words.pair("stride", Some(window))?;
                Ok($layer { window, stride, padding: words.pixels("padding")? })
            }

            fn to_words(&self, words: &mut Map<String, Json>) {
                words.insert(Self::WORD.into(), words::of_pair(self.window));
                words::add_pair(words, "stride", self.stride, self.window);
                words::add_pair(words, "padding", self.padding, [0; 2]);
            }
        }
    };
}

pool! {
    /// The largest value of each window, channel by channel, the first of equals: Riesenhuber & Poggio, Nature Neuroscience 2 (1999). Padding is never the
    /// largest.
    MaxPoolLayer, "max_pool", |x, sliding, forward| {
        let trains = forward.is_training();
        forward.op(MaxPool { sliding, trains }, vec![x])
    }
}

pool! {
    /// The mean of each window, channel by channel, without its padding: LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    AvgPoolLayer, "avg_pool", |x, sliding, forward| forward.op(AveragePool(sliding), vec![x])
}

/// The mean of each channel over the whole image, or over all places of a sequence, which makes features of it: Lin, Chen & Yan, "Network in network", ICLR 2014.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct GlobalAvgPoolLayer {}

impl GlobalAvgPoolLayer {
    /// The pool.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Describe for GlobalAvgPoolLayer {
    const WORD: &'static str = "global_avg_pool";
    const OF_IMAGES: bool = true;

    fn output(&self, input: Form) -> Form {
        match input {
            Form::Image(_) | Form::Sequence(_) => Form::Features(input.channels()),
            other => other,
        }
    }

    fn check(&self, input: Form) -> Result<(), String> {
        match input.image().map_or_else(|| image(input), Ok)? {
            image if image.fits_global_pool() => Ok(()),
            image => Err(format!(
                "an image of {} pixels: global_avg_pool takes at most {}",
                image.pixels(),
                Image::MOST_POOLED
            )),
        }
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        let Some(image) = input.image() else { return x };
        forward.op(GlobalAveragePool(image), vec![x])
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.is_true(Self::WORD).map(|()| Self::new())
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), true.into());
    }
}
