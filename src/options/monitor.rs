//! The metric that epochs are judged by.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::data::Dataset;
use crate::error::Error;
use crate::kernel::class_metrics::Counts;
use crate::loss::{Loss, Task};
use crate::metric::{ClassCounts, Evaluation, Metrics, is_positive};
use crate::named::{Elsewhere, Named};

/// The metric that epochs are judged by, on the validation set. Without one, loss and accuracy are the training set's, and the other metrics
/// are refused. A metric that the loss does not have is refused, too.
///
/// ```
/// use wgrad::{Best, Monitor};
///
/// assert_eq!("top-3".parse::<Monitor>()?, Monitor::TopK(3));
/// // The share of the rows of class 2 that are found.
/// let recall = Monitor::custom("recall of 2", Best::Highest, |metrics| {
///     metrics.classes.as_ref().map_or(0.0, |classes| classes.classes[2].recall())
/// });
/// assert_eq!(recall.to_string(), "recall of 2");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Monitor {
    /// The mean loss: less is better.
    #[default]
    Loss,
    /// The accuracy: more is better, as for all metrics below except the errors.
    Accuracy,
    /// The mean of the classes' F1.
    F1,
    /// The mean of the classes' precision.
    Precision,
    /// The mean of the classes' recall.
    Recall,
    /// The share of rows whose right class is among the k with the highest logits.
    TopK(usize),
    /// The area under the ROC curve, of two classes or one yes or no.
    RocAuc,
    /// The mean absolute error, in the targets' own units: less is better.
    MeanAbsoluteError,
    /// The root mean squared error, in the targets' own units: less is better.
    RootMeanSquaredError,
    /// The coefficient of determination.
    R2,
    /// A user's own metric; see [`Monitor::custom`].
    Custom(Figure),
}

/// Which of two values is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Best {
    /// The lower one.
    Lowest,
    /// The higher one.
    Highest,
}

/// A user's own metric, as [`Monitor::custom`] makes it.
#[derive(Clone, Copy)]
pub struct Figure {
    name: &'static str,
    best: Best,
    of: &'static (dyn Fn(&Metrics) -> f64 + Send + Sync),
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figure").field("name", &self.name).field("best", &self.best).finish_non_exhaustive()
    }
}

/// Metrics are equal if they come from the same call of [`Monitor::custom`].
impl PartialEq for Figure {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.best) == (other.name, other.best) && std::ptr::addr_eq(self.of, other.of)
    }
}

impl Eq for Figure {}

impl Hash for Figure {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.best).hash(state);
    }
}

impl Named for Monitor {
    const WHAT: &'static str = "a metric to monitor";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("loss", Monitor::Loss),
        ("accuracy", Monitor::Accuracy),
        ("f1", Monitor::F1),
        ("precision", Monitor::Precision),
        ("recall", Monitor::Recall),
        ("top-5", Monitor::TopK(5)),
        ("roc-auc", Monitor::RocAuc),
        ("mae", Monitor::MeanAbsoluteError),
        ("rmse", Monitor::RootMeanSquaredError),
        ("r2", Monitor::R2),
    ];
    const ELSEWHERE: Elsewhere = &[
        (&["val-loss", "eval-loss", "validation-loss"], "loss, which is the validation's where there is any"),
        (
            &["acc", "val-acc", "val-accuracy", "eval-accuracy", "validation-accuracy"],
            "accuracy, which is the validation's where there is any",
        ),
        (&["f1-macro", "macro-f1", "f1-score", "val-f1", "fscore", "f-score"], "f1, which is the mean over classes"),
        (&["auc", "roc", "rocauc", "auroc", "val-auc"], "roc-auc"),
        (&["top5", "topk", "top-k", "top-k-accuracy"], "top-5, or another number"),
        (&["mean-absolute-error", "l1"], "mae"),
        (&["root-mean-squared-error", "mse", "mean-squared-error", "l2"], "rmse"),
        (&["r-squared", "r2-score", "rsquared", "r^2"], "r2"),
    ];
}

impl FromStr for Monitor {
    type Err = Error;

    /// Parses a metric's name; `top-5` may have any number.
    fn from_str(word: &str) -> Result<Self, Error> {
        match word.strip_prefix("top-").map(str::parse) {
            Some(Ok(k)) => Ok(Monitor::TopK(k)),
            _ => Self::from_word(word),
        }
    }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Monitor::TopK(k) => write!(f, "top-{k}"),
            Monitor::Custom(figure) => f.write_str(figure.name),
            _ => f.write_str(self.word()),
        }
    }
}

impl Monitor {
    /// A user's own metric, computed from all metrics of an evaluation; NaN is worse than any value. It stays in memory for the life of the
    /// program. A run that is resumed from a checkpoint has to be given the metric of this name again:
    /// [`Checkpoint::bringing_monitor`](crate::Checkpoint::bringing_monitor).
    pub fn custom(name: &str, best: Best, figure: impl Fn(&Metrics) -> f64 + Send + Sync + 'static) -> Self {
        let name: &'static str = Box::leak(name.into());
        Monitor::Custom(Figure { name, best, of: Box::leak(Box::new(figure)) })
    }

    /// Whether the metric needs more than loss and accuracy, which every pass computes.
    pub(crate) fn is_measured(self) -> bool {
        !matches!(self, Monitor::Loss | Monitor::Accuracy)
    }

    /// Checks that this loss over `outputs` outputs has this metric.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the metrics that it has.
    pub(crate) fn check(self, loss: &Loss, outputs: usize) -> Result<(), Error> {
        let task = loss.task();
        if let Monitor::TopK(k) = self
            && task == Task::Classes
            && !(1..=outputs).contains(&k)
        {
            return Err(Error::Option(format!(
                "monitor is top-{k}: there are {outputs} classes, it must be from top-1 to top-{outputs}"
            )));
        }
        let has = |monitor: Monitor| match monitor {
            Monitor::Loss | Monitor::Custom(_) => true,
            Monitor::TopK(_) => task == Task::Classes,
            Monitor::Accuracy | Monitor::F1 | Monitor::Precision | Monitor::Recall => task != Task::Numbers,
            Monitor::RocAuc => task != Task::Numbers && Counts::of(task == Task::EachOutput, outputs as u32).scores,
            Monitor::MeanAbsoluteError | Monitor::RootMeanSquaredError | Monitor::R2 => task == Task::Numbers,
        };
        if has(self) {
            return Ok(());
        }
        let those: Vec<&str> = Self::WORDS.iter().filter(|(_, other)| has(*other)).map(|&(word, _)| word).collect();
        Err(Error::Option(format!(
            "monitor is {self}, which {} over {outputs} outputs does not have: use one of {}",
            loss.name(),
            those.join(", ")
        )))
    }

    /// Checks that there are rows to measure the metric on.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where there are none, [`Error::Data`] where the metric needs two classes, and all rows are of one.
    pub(crate) fn check_rows(self, validation: Option<&Dataset>, loss: &Loss) -> Result<(), Error> {
        let Some(set) = validation else {
            return match self.is_measured() {
                true => Err(Error::Option(format!(
                    "monitor is {self}, which needs a validation set, and there is none: name one, or a fraction of the training \
                     rows; loss and accuracy need none"
                ))),
                false => Ok(()),
            };
        };
        if self == Monitor::RocAuc {
            let mut kinds = (0..set.rows()).filter_map(|row| is_positive(set, loss, row));
            let first = kinds.next();
            if kinds.all(|kind| Some(kind) == first) {
                return Err(Error::Data(
                    "monitor is roc-auc, and all rows of the validation set are of one class: it needs both".into(),
                ));
            }
        }
        Ok(())
    }

    /// The value of the metric in an epoch, if it has one.
    pub(crate) fn of(self, evaluation: Evaluation, metrics: Option<&Metrics>) -> Option<f64> {
        let classes = || metrics?.classes.as_ref();
        let mean = |figure: fn(&ClassCounts) -> f64| Some(classes()?.macro_mean(figure));
        let regression = || metrics?.regression;
        match self {
            Monitor::Loss => Some(evaluation.loss),
            Monitor::Accuracy => evaluation.accuracy,
            Monitor::F1 => mean(ClassCounts::f1),
            Monitor::Precision => mean(ClassCounts::precision),
            Monitor::Recall => mean(ClassCounts::recall),
            Monitor::TopK(k) => classes()?.top_k(k),
            Monitor::RocAuc => metrics?.roc_auc,
            Monitor::MeanAbsoluteError => Some(regression()?.mean_absolute_error),
            Monitor::RootMeanSquaredError => Some(regression()?.root_mean_squared_error),
            Monitor::R2 => Some(regression()?.r2),
            Monitor::Custom(figure) => Some((figure.of)(metrics?)),
        }
    }

    /// The value, negated if more is better, so that less is always better; NaN becomes worse than any value.
    pub(crate) fn turned(self, figure: f64) -> f64 {
        let best = match self {
            Monitor::Loss | Monitor::MeanAbsoluteError | Monitor::RootMeanSquaredError => Best::Lowest,
            Monitor::Custom(figure) => figure.best,
            _ => Best::Highest,
        };
        match best {
            _ if figure.is_nan() => f64::MAX,
            Best::Lowest => figure.min(f64::MAX),
            Best::Highest => (-figure).min(f64::MAX),
        }
    }
}
