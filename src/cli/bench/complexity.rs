//! How the time of an epoch grows with the number of images, and shrinks with cores.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::{process, word};
use crate::report::plot::{Chart, Series, curves, save_png};
use crate::report::{Align, Table, format};
use crate::{Error, Result, files};

const COUNTS: [usize; 7] = [100, 316, 1_000, 3_162, 10_000, 31_623, 100_000];
const SIDE: usize = 28;
const CLASSES: usize = 10;
/// Validation images, the same few for all, so that they do not count.
const VALIDATION: usize = 100;

/// Seconds of an epoch at each of the numbers of images, on so many cores.
#[derive(Debug, Serialize)]
pub(super) struct Curve {
    cores: usize,
    images: Vec<usize>,
    seconds: Vec<f64>,
}

/// Trains ResNet-18 for an epoch on 32 × 32 pixels of images that are made, on 1, 2, 4, … cores up to all.
///
/// # Errors
/// A run that fails.
pub(super) fn measure(scratch: &Path) -> Result<Vec<Curve>> {
    let all = process::cores();
    let mut cores: Vec<usize> =
        std::iter::successors(Some(1), |count| Some(count * 2)).take_while(|c| *c < all).collect();
    cores.push(all);
    let data = scratch.join("idx");
    std::fs::create_dir_all(&data).map_err(Error::io(&data, "cannot create the folder"))?;
    write_idx(&data, "t10k", VALIDATION)?;
    let mut found: Vec<Curve> =
        cores.into_iter().map(|cores| Curve { cores, images: COUNTS.to_vec(), seconds: vec![] }).collect();
    for count in COUNTS {
        write_idx(&data, "train", count)?;
        for curve in &mut found {
            curve.seconds.push(count as f64 / rate(&data, &scratch.join("complexity"), curve.cores)?);
        }
    }
    Ok(found)
}

/// Images per second in one epoch of training, without start, validation and plots.
fn rate(data: &Path, out: &Path, cores: usize) -> Result<f64> {
    let program = std::env::current_exe().map_err(Error::io("regraft", "cannot find the program"))?;
    let mut command = Command::new(program);
    command.args(["finetune", "--from-scratch", "--quiet", "--model", "resnet18", "--image-size", "32", "--force"]);
    command.args(["--epochs", "1", "--device", "cpu", "--batch-size", "64", "--json"]);
    command.args(["--data", &word(data), "--out", &word(out), "--workers", &cores.to_string()]);
    command.env("OMP_NUM_THREADS", cores.to_string());
    let output = process::run(&mut command)?.output;
    let result: crate::report::RunResult = serde_json::from_str(&output)
        .map_err(|error| Error::Training(format!("what a run found could not be read: {error}")))?;
    Ok(result.images_per_second)
}

/// Images and labels in MNIST's format, whose content does not matter to the time.
fn write_idx(folder: &Path, name: &str, count: usize) -> Result<()> {
    let header = |kind: u8, sizes: &[usize]| {
        let mut bytes = vec![0, 0, 8, kind];
        sizes.iter().for_each(|size| bytes.extend((*size as u32).to_be_bytes()));
        bytes
    };
    let mut images = header(3, &[count, SIDE, SIDE]);
    images.extend((0..count * SIDE * SIDE).map(|at| (at * 7 + at / SIDE * 13 + at / (SIDE * SIDE)) as u8));
    let mut labels = header(1, &[count]);
    labels.extend((0..count).map(|number| (number % CLASSES) as u8));
    files::write_bytes(folder.join(format!("{name}-images-idx3-ubyte")), &images)?;
    files::write_bytes(folder.join(format!("{name}-labels-idx1-ubyte")), &labels)
}

/// One row for each number of images.
pub(super) fn table(curves: &[Curve]) -> Table {
    let column =
        |curve: &Curve| (format!("{} core{}", curve.cores, if curve.cores == 1 { "" } else { "s" }), Align::Right);
    let mut table = Table::new([("images".to_string(), Align::Right)].into_iter().chain(curves.iter().map(column)));
    for (number, count) in COUNTS.iter().enumerate() {
        let seconds = curves.iter().map(|curve| format::seconds(curve.seconds[number]));
        table.row([format::count(*count as u64)].into_iter().chain(seconds));
    }
    table
}

/// Both axes logarithmic, so that what grows with the number of images is a straight line.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn draw(found: &[Curve], file: &Path) -> Result<()> {
    let series = found.iter().map(|curve| Series {
        name: format!("{} core{}", curve.cores, if curve.cores == 1 { "" } else { "s" }),
        points: curve.images.iter().zip(&curve.seconds).map(|(count, seconds)| (*count as f64, *seconds)).collect(),
        ..Series::default()
    });
    let chart = Chart {
        title: "An epoch of ResNet-18 on 32 × 32 pixels".into(),
        x_label: "training images".into(),
        y_label: "seconds".into(),
        log_x: true,
        log_y: true,
        series: series.collect(),
        ..Chart::default()
    };
    save_png(file, &curves(&[chart])?)
}
