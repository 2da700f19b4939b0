//! Checkpoints that are not what a run wrote: cut off, changed by a bit, or forged. Each is refused or passed over, and none does harm.

use wgrad::{Checkpoint, Error, Every, TrainOptions, Trainer};

use crate::checkpoints::{checkpointing, file, network, options, resumed, runs, sets};
use crate::support::{gpu, refused};

/// The file with another text for its metadata.
fn with_metadata(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut about: serde_json::Value = serde_json::from_str(header["__metadata__"]["wgrad"].as_str().unwrap()).unwrap();
    change(&mut about);
    // A forged file has the right checksum of its forged metadata.
    if let Some(of_about) = about.as_object_mut().and_then(|about| about.remove("crc32_about")) {
        assert!(of_about.is_u64(), "{of_about}");
        let sum = crc32fast::hash(about.to_string().as_bytes());
        about["crc32_about"] = sum.into();
    }
    header["__metadata__"]["wgrad"] = about.to_string().into();
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat()
}

/// Every pointer to a value in JSON.
fn pointers(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_string());
    if let Some(entries) = value.as_object() {
        entries.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{}", key.replace('/', "~1")), found));
    }
}

/// Finds values of a file that are believed: a position outside its epoch, a count of 2^60, a word for a number. Each is an error or a valid run,
/// never a panic, and never takes memory without bound.
#[test]
fn forged_values_of_a_checkpoint_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (train, validation) = sets();
    let [options, ..] = runs();
    let options = TrainOptions { checkpoint: checkpointing(folder.path(), Every::Steps(8)), ..options };
    Trainer::on(gpu(), network(), options).unwrap().fit(&train, Some(&validation)).unwrap();
    let bytes = std::fs::read(file(folder.path(), 8)).unwrap();
    let path = folder.path().join("lie");
    let mut places = Vec::new();
    with_metadata(&bytes, |about| pointers(&about["checkpoint"], "/checkpoint", &mut places));
    let (mut refusals, mut believed) = (0, 0);
    for place in &places {
        // The caller decides how long it is trained.
        if ["epochs", "steps", "notes"].iter().any(|word| place.ends_with(word)) {
            continue;
        }
        let lies = ["null", "-1", "0", "3", "1152921504606846976", "1e300", "\"x\"", "[]"];
        for lie in lies.map(|lie| serde_json::from_str::<serde_json::Value>(lie).unwrap()) {
            let content = with_metadata(&bytes, |about| *about.pointer_mut(place).unwrap() = lie.clone());
            std::fs::write(&path, content).unwrap();
            let outcome = Checkpoint::open(&path).and_then(|checkpoint| Trainer::resume(gpu(), &checkpoint));
            let outcome = outcome.and_then(|mut trainer| {
                trainer.set_checkpointing(None);
                trainer.plan(&train)?;
                // Of another shape, its kernels would only be compiled; the rest is seen before.
                if trainer.options().batch_size == 7 {
                    trainer.fit(&train, Some(&validation)).map(drop)
                } else {
                    Ok(())
                }
            });
            let Err(error) = outcome else {
                believed += 1;
                continue;
            };
            assert_eq!(error.exit_code(), 2, "{place} {lie}: {error}");
            assert!(!error.to_string().contains("the checksum of its metadata"), "{place} {lie}: it is right: {error}");
            refusals += 1;
        }
    }
    // Another rate or patience is a run; another type, name or place is none.
    assert!(refusals > 6 * places.len() && believed > places.len() / 2, "{refusals}, {believed} of {}", places.len());

    // Positions that are refused, each with the file's name.
    let (not_together, not_its_order) =
        ("its position and its step state do not fit", "its order is not its training set's");
    for (place, lie, words) in [
        ("step", 9, not_together),
        ("rows", 1, not_its_order),
        ("rows", 39, not_its_order),
        ("first_step", 7, not_together),
        ("began", 9, not_together),
        ("sums_began", 9, not_together),
        ("sums_began", 0, "its running sums are not those of such an epoch"),
        ("skipped_before", 1, not_together),
        ("kept", 5, "the best epoch is none of its epochs"),
    ] {
        let content = with_metadata(&bytes, |about| about["checkpoint"]["position"][place] = lie.into());
        std::fs::write(&path, content).unwrap();
        let outcome = Checkpoint::open(&path)
            .and_then(|checkpoint| Trainer::resume(gpu(), &checkpoint)?.fit(&train, Some(&validation)));
        refused(&["lie: ", words], outcome);
    }
    let later = with_metadata(&bytes, |about| about["checkpoint"]["format"] = 3.into());
    std::fs::write(&path, later).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("format 3") && error.contains("up to 2"), "{error}");
}

/// A file that was cut off, emptied or changed by one bit is passed over for the one before it, and is not read as a model either.
#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (train, validation) = sets();
    for steps in [8, 17] {
        let options = TrainOptions { checkpoint: checkpointing(folder.path(), Every::Steps(steps)), ..options() };
        let mut trainer = match steps {
            8 => Trainer::on(gpu(), network(), options).unwrap(),
            _ => Trainer::resume(gpu(), &Checkpoint::open(folder.path()).unwrap()).unwrap(),
        };
        trainer.set_checkpointing(checkpointing(folder.path(), Every::Steps(steps)));
        trainer.set_steps(Some(steps));
        trainer.fit(&train, Some(&validation)).unwrap();
    }
    let newest = file(folder.path(), 17);
    let whole = std::fs::read(&newest).unwrap();
    assert_eq!(Checkpoint::open(folder.path()).unwrap().path(), newest);
    let mut flipped = whole.clone();
    let at = flipped.len() - 77;
    flipped[at] ^= 1;
    for (damaged, words) in [
        (&[][..], "not a whole safetensors file"),
        (&whole[..7], "not a whole safetensors file"),
        (&whole[..whole.len() / 2], "not a whole safetensors file"),
        (&whole[..whole.len() - 1], "not a whole safetensors file"),
        (&flipped, "its contents are not what was written"),
        (b"step", "not a whole safetensors file"),
    ] {
        std::fs::write(&newest, damaged).unwrap();
        let words = ["step-0000000017.safetensors", words];
        refused(&words, Checkpoint::open(&newest));
        // Nor is it a model, for `evaluate`, `--init` or `import`.
        refused(&words, wgrad::Model::read(&newest));
        refused(&words, wgrad::Model::read_state_dict(&newest, None));
        assert_eq!(Checkpoint::open(folder.path()).unwrap().step(), 8);
    }
    assert_eq!(resumed(folder.path()).0.len(), network().parameters());
    std::fs::write(file(folder.path(), 8), "no more").unwrap();
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::Format { path, .. }) if path == newest));
    let empty = tempfile::tempdir().unwrap();
    assert!(Checkpoint::open(empty.path()).unwrap_err().to_string().contains("has no checkpoint"));
}

/// Finds a digit of the seed that the disk changed: the run would go on in another order without an error.
#[test]
fn metadata_that_changed_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (train, _) = sets();
    let checkpoint = checkpointing(folder.path(), Every::Steps(1000));
    Trainer::on(gpu(), network(), TrainOptions { checkpoint, ..options() }).unwrap().fit(&train, None).unwrap();
    let path = file(folder.path(), 30);
    let text = std::fs::read(&path).unwrap();
    let at = text.windows(11).position(|words| words == br#"\"seed\":3,"#).unwrap();
    let turned = [&text[..at], br#"\"seed\":7,"#, &text[at + 11..]].concat();
    std::fs::write(&path, turned).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("metadata"), "{error}");
}
