//! One module per promise that a user relies on.

mod adapt;
mod bad_input;
mod bench;
mod closed_pipe;
mod conserve;
mod cuda;
mod demo;
mod exact_resume;
mod finetune;
mod freezing;
mod fuzz;
mod layers;
mod matrix;
mod multitask;
mod progressive;
mod state_dicts;
mod support;
mod synth;
mod torchscript;
mod transfer;
mod zeroshot;
