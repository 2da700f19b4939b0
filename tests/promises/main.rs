//! The promises of the design, one file each, against f64 twins, PyTorch's trajectories and the real program.
//!
//! Every test runs on a real adapter; where there is none they fail and say what to install. The comment above a test says what it checks, or which
//! faults it finds.

mod augmentations;
mod backends;
mod bad_input;
mod batch_norms;
mod caches;
mod cases;
mod checkpoints;
mod convolutions;
mod costs;
mod custom;
mod damaged_checkpoints;
mod data;
mod device_loss;
mod dispatches;
mod dropout;
mod faults;
mod formats;
mod golden;
mod golden_nets;
mod gpu_tiles;
mod gradients;
mod hostile;
mod image_models;
mod image_sets;
mod init;
mod inputs;
mod interchange;
mod kernels;
mod killed;
mod limits;
mod losses;
mod lowered;
mod main_job;
mod metadata;
mod metrics;
mod misuse;
mod monitors;
mod muon;
mod names;
mod non_finite;
mod norms;
mod observer;
mod opened_models;
mod optimizers;
mod parameters;
mod plan;
mod plans;
mod pools;
mod problem;
mod profile;
mod program;
mod properties;
mod report;
mod residual;
mod rooms;
mod same_bits;
mod schedules;
mod screen;
mod selftest;
mod serving;
mod sets;
mod silences;
mod streams;
mod support;
mod tables;
mod target_scaling;
mod tuning;
mod weights;

// The f64 twins are the selftest's.
use wgrad::selftest::reference;
