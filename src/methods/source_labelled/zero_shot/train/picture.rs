//! The space where images and classes meet, as a picture.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::About;
use crate::Result;
use crate::report::plot::{Points, points, save_png};
use crate::report::projection::t_sne;

/// The most images of a class in the picture.
const SHOWN: usize = 60;

/// Draws images and classes by t-SNE: discs are images of seen classes, rings of unseen ones, and a large point with a name is a class.
///
/// Which class fits an image best depends on nothing but its scores less their mean, so these are what is shown, of an image and in the same way
/// of a class itself, scaled to length 1.
///
/// # Shapes
/// `images: [N, E]`, `classes: [C, E]` f32, `labels: [N]` below C
pub(super) fn draw(images: &Tensor, classes: &Tensor, labels: &[usize], about: &About, plots: &Path) -> Result<()> {
    let mut of_class = vec![0; about.classes.len()];
    let mut chosen: Vec<i64> = vec![];
    for (at, &label) in labels.iter().enumerate() {
        of_class[label] += 1;
        if of_class[label] <= SHOWN {
            chosen.push(at as i64);
        }
    }
    let index = Tensor::f_from_slice(&chosen)?.f_to_device(images.device())?;
    let apart = classes.f_sub(&classes.f_mean_dim([0i64].as_slice(), true, Kind::Float)?)?;
    let all = Tensor::f_cat(&[&images.f_index_select(0, &index)?, &apart], 0)?.f_matmul(&apart.f_tr()?)?;
    let all = all.f_div(&all.f_norm_scalaropt_dim(2, [1i64], true)?.f_clamp_min(1e-12)?)?;
    if all.size()[0] < 8 {
        return Ok(()); // fewer are no picture
    }
    let at = Vec::<Vec<f64>>::try_from(&t_sne(&all.f_to_device(Device::Cpu)?)?)?;
    let group: Vec<usize> = chosen.iter().map(|&at| labels[at as usize]).chain(0..about.classes.len()).collect();
    let name = |(at, class): (usize, &String)| {
        let known = if at < about.seen { "seen" } else { "unseen" };
        (chosen.len() + at, format!("{class} ({known})"))
    };
    let cloud = Points {
        title: "images and classes, t-SNE (rings: images of unseen classes)".into(),
        at: at.into_iter().map(|row| (row[0], row[1])).collect(),
        ring: group.iter().enumerate().map(|(at, &class)| at < chosen.len() && class >= about.seen).collect(),
        group,
        groups: about.classes.clone(),
        marked: about.classes.iter().enumerate().map(name).collect(),
    };
    save_png(plots.join("space.png"), &points(&[cloud])?)
}
