//! What a fit and its checkpoints have to do with each other before the first step.

use super::session::Session;
use crate::checkpoint::folder::{self, Lock};
use crate::checkpoint::{Run, Snapshots};
use crate::data::{Dataset, Fingerprint};
use crate::error::Error;
use crate::files::folder_of;
use crate::kernel::tiling::Picks;
use crate::options::Checkpointing;
use crate::run::rows::Rows;

/// The fingerprints of the training set and of the validation set.
pub(crate) type Fingerprints = (Fingerprint, Option<Fingerprint>);

/// The sets' fingerprints, where checkpoints or other processes ask for them: that a resumed run has its own sets is known
/// before anything is trained.
///
/// # Errors
///
/// [`Error::Data`] for other sets than the resumed run had; [`Error::Option`] for a run that has ended before the checkpoint.
pub(crate) fn fingerprints(
    session: &Session,
    train: Rows<'_>,
    validation: Option<&Dataset>,
) -> Result<Option<Fingerprints>, Error> {
    let options = &session.options;
    if options.checkpoint.is_none() && session.resumed.is_none() && session.processes.is_none() {
        return Ok(None);
    }
    let sets = (train.fingerprint()?, validation.map(Dataset::fingerprint));
    if let Some(resumed) = &session.resumed {
        let per_epoch = train.count().div_ceil(options.step_rows()) as u64;
        resumed.check(sets)?;
        let steps_done = session.position.steps_done;
        let last_step = options.last_step(session.fit_began(), session.position.order.first_step, per_epoch)?;
        if last_step < steps_done {
            return Err(Error::Option(format!(
                "{} is at step {steps_done}: a run of {last_step} steps has ended before it",
                resumed.path.display()
            )));
        }
    }
    Ok(Some(sets))
}

/// Makes a folder ready for checkpoints, unless there are some of another run, and keeps it from others for as long as the lock lives.
///
/// # Errors
///
/// [`Error::Option`] where another run has the folder, or had it; [`Error::Io`].
pub(crate) fn claim(session: &Session, asked: &Checkpointing) -> Result<Lock, Error> {
    folder::open(&asked.folder)?;
    let lock = folder::lock(&asked.folder)?;
    if session.resumed.as_ref().is_some_and(|resumed| folder::is_same(folder_of(&resumed.path), &asked.folder)) {
        return Ok(lock);
    }
    match folder::list(&asked.folder)?.first() {
        Some((step, path)) if *step > session.position.steps_done => Err(Error::Option(format!(
            "{} is of another run: resume that one, or choose another folder for this one's checkpoints",
            path.display()
        ))),
        _ => Ok(lock),
    }
}

/// What makes the checkpoints of a fit, where they are asked for.
pub(crate) async fn snapshots(
    session: &mut Session,
    sets: Option<Fingerprints>,
    picks: Picks,
) -> Result<Option<Snapshots>, Error> {
    let (Some(asked), Some(sets), true) = (session.options.checkpoint.clone(), sets, session.writes()) else {
        return Ok(None);
    };
    let beginning = if asked.device_retries > 0 { Some(session.beginning().await?) } else { None };
    Ok(Some(Snapshots::new(session.model.gpu.host(), &asked, run_of(session, &asked, sets, picks), beginning)))
}

/// What all checkpoints of a fit on these sets have in common.
fn run_of(session: &Session, asked: &Checkpointing, (train, validation): Fingerprints, picks: Picks) -> Run {
    let adapter = session.model.gpu.adapter();
    Run {
        network: session.model.network.clone(),
        loss: session.options.loss.clone(),
        origin: session.origin.clone(),
        options: session.options.clone(),
        order: session.position.order,
        train,
        validation,
        adapter: [adapter.name.clone(), adapter.driver.clone(), session.model.tiling.family.to_string()],
        picks,
        notes: asked.notes.clone(),
    }
}
