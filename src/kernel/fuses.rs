//! What a launch does besides what its name says, in words: read off what it is linked with.

use super::launch::Launch;

/// What each of the modules mounted for a user's choice is called.
const CHOICES: &[(&str, &str)] =
    &[("activation", "activation"), ("loss", "loss"), ("element", "loss"), ("optimizer", "optimizer")];

/// What a stage adds to what its kernel says, in words.
const STAGES: &[(&str, &str)] =
    &[("stage/add_residual", "residual sum"), ("stage/add_gradient", "sum with the gradient through the residual")];

/// What a flag adds to a kernel, in words. Flags that are not here choose a form of what the kernel does anyway.
const FLAGS: &[(&str, &str)] = &[
    ("drops_out", "dropout"),
    ("input_gradient", "gradient of the layer below"),
    ("output_weights", "output weights"),
    ("sample_weights", "row weights"),
    ("weighted_mean", "weighted mean"),
    ("scales", "scaling"),
    ("crops", "shifted crops"),
    ("flips", "horizontal flips"),
    ("cuts", "cutout"),
    ("clips_norm", "clipping by the norm"),
    ("clips_value", "clipping by value"),
    ("skips", "skipping"),
    ("by_windows", "max pool"),
    ("splits", "slices"),
    ("closes_step", "step counter"),
];

impl Launch {
    /// What is fused into it: for 784-256-10 under Adam, `dense_update` has the row gather, the bias gradient and `optimizer adam`.
    pub fn fuses(&self) -> Vec<String> {
        if !self.parts.is_empty() {
            return self.fuses_of_parts();
        }
        let mut words: Vec<String> = vec![];
        let updates = self.kernel == "kept_update" || self.kernel == "muon_momentum";
        let has_gradient = self.kernel == "dense_update" || self.kernel == "conv_update";
        let gathers = self.mounts.iter().any(|(name, module)| *name == "input" && module.starts_with("input/set_"));
        words.extend((gathers && !self.kernel.starts_with("gather")).then(|| "row gather".into()));
        words.extend(match self.kernel {
            "dense_forward" | "conv_forward" => vec!["bias".into()],
            "head" | "team_head" => vec!["last layer".into(), "bias".into()],
            "dense_update" | "conv_update" => vec!["bias gradient".into()],
            _ => vec![],
        });
        let mounts = |module: &str| self.mounts.iter().any(|(_, mounted)| *mounted == module);
        words.extend(STAGES.iter().filter(|(stage, _)| mounts(stage)).map(|(_, what)| what.to_string()));
        let is_forward = ["sink/activations", "sink/image", "sink/pooled_image"].into_iter().any(mounts);
        let trains = self.flags.contains(&"trains");
        let judges = matches!(self.kernel, "head" | "team_head" | "row_loss");
        for (name, module) in &self.mounts {
            let wanted = match *name {
                "optimizer" => updates || has_gradient && !self.flags.contains(&"keeps_gradient"),
                "loss" => judges && *module != "loss/elementwise",
                "element" => judges,
                "activation" => *module != "activation/identity",
                _ => false,
            };
            let choice = CHOICES.iter().find(|(known, _)| known == name).filter(|_| wanted);
            words.extend(choice.map(|(_, what)| {
                let rule = self.grouped_rule().filter(|_| *name == "optimizer");
                let which = rule.or(module.rsplit('/').next()).unwrap_or_default().replace('_', "-");
                let derives = *name == "activation" && !is_forward;
                format!("{} {which}", if derives { "derivative of" } else { what })
            }));
        }
        let in_groups = updates || has_gradient && !self.flags.contains(&"keeps_gradient");
        words.extend(self.grouped_rule().filter(|_| in_groups).map(|_| "rate and decay by group".into()));
        if judges {
            words.extend(trains.then(|| "gradient of the loss".into()));
            words.extend(["running sums of loss and hits".to_string()]);
            words.extend(trains.then(|| "learning rate and optimizer's scalars".into()));
        }
        let on = FLAGS.iter().filter(|(flag, _)| self.flags.contains(flag));
        words.extend(on.map(|(_, what)| what.to_string()));
        let keeps = is_forward && self.flags.contains(&"keeps_derivative");
        words.extend(keeps.then(|| "derivatives kept".into()));
        words
    }

    /// The optimizer's rule where it stands behind the module for weights in groups.
    fn grouped_rule(&self) -> Option<&str> {
        let (_, text) = self.constants.iter().find(|(name, _)| *name == "rule")?;
        text.split("::").nth(2)
    }

    /// The layers together, and what any of them fuses.
    fn fuses_of_parts(&self) -> Vec<String> {
        let mut words = vec![format!("{} layers", self.parts.len())];
        for word in self.parts.iter().flat_map(Launch::fuses) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        let closes = self.constants.iter().any(|(name, text)| *name == "merged" && text.contains("close_step"));
        words.extend(closes.then(|| "step counter".into()));
        words
    }
}
