//! The promises of the design, one file each, against f64 twins, PyTorch's trajectories and the real program.
//!
//! Every test runs on a real adapter; where there is none they fail and say what to install.

mod bad_input;
mod checkpoints;
mod costs;
mod custom;
mod data;
mod dropout;
mod formats;
mod golden;
mod gpu_tiles;
mod gradients;
mod hostile;
mod inputs;
mod interchange;
mod kernels;
mod killed;
mod limits;
mod losses;
mod main_job;
mod metrics;
mod misuse;
mod muon;
mod non_finite;
mod observer;
mod optimizers;
mod parameters;
mod plan;
mod problem;
mod profile;
mod program;
mod properties;
mod reference;
mod report;
mod same_bits;
mod schedules;
mod screen;
mod sets;
mod streams;
mod support;
mod tables;
mod tuning;
mod weights;
