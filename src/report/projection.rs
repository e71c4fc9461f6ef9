//! Many numbers per image drawn as two: principal components, and t-SNE.

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Principal components that t-SNE gets (van der Maaten & Hinton 2008 take 30, most since 50).
const COMPONENTS: i64 = 50;
/// Its perplexity, or a third of the images if that is less.
const PERPLEXITY: f32 = 30.0;
const EPOCHS: usize = 1000;
/// How coarse the approximation of Barnes and Hut is.
const THETA: f32 = 0.5;
/// Standard deviation of the first axis where t-SNE begins.
const START: f64 = 1e-4;

/// The first `count` principal components of the rows; fewer columns are filled up with zeros. Each points where its largest weight
/// is positive, so that the picture is the same every time.
///
/// # Shapes
/// `features: [N, D]` → `[N, count]` f64
///
/// # Errors
/// Fewer than two rows, or what libtorch refuses.
pub fn principal_components(features: &Tensor, count: i64) -> Result<Tensor> {
    let (rows, columns) = features.size2()?;
    if rows < 2 {
        return Err(Error::Data("a projection needs at least two images".into()));
    }
    let x = features.detach().f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
    let x = x.f_sub(&x.f_mean_dim(0, true, Kind::Double)?)?;
    let known = count.min(rows).min(columns);
    // rows and columns lead to the same components; the smaller product is the quicker one
    let projected = if columns <= rows {
        let (_, vectors) = x.f_tr()?.f_matmul(&x)?.f_linalg_eigh("L")?;
        x.f_matmul(&vectors.f_narrow(1, columns - known, known)?)?
    } else {
        let (values, vectors) = x.f_matmul(&x.f_tr()?)?.f_linalg_eigh("L")?;
        let scale = values.f_narrow(0, rows - known, known)?.f_clamp_min(0.0)?.f_sqrt()?;
        vectors.f_narrow(1, rows - known, known)?.f_mul(&scale)?
    };
    let projected = projected.f_flip([1])?;
    let largest = projected.f_abs()?.f_argmax(0, true)?;
    let signs = projected.f_gather(0, &largest, false)?.f_sign()?;
    let signs = signs.f_where_self(&signs.f_ne(0.0)?, &signs.f_ones_like()?)?;
    let projected = projected.f_mul(&signs)?;
    let missing = Tensor::f_zeros([rows, count - known], (Kind::Double, Device::Cpu))?;
    Ok(Tensor::f_cat(&[projected, missing], 1)?)
}

/// t-SNE with the approximation of Barnes and Hut (van der Maaten 2014), on 50 principal components, from the first two of them:
/// nothing is drawn.
///
/// # Shapes
/// `features: [N, D]`, N ≥ 8 → `[N, 2]` f64
///
/// # Errors
/// Fewer rows, or what libtorch refuses.
pub fn t_sne(features: &Tensor) -> Result<Tensor> {
    let (rows, columns) = features.size2()?;
    if rows < 8 {
        return Err(Error::Data("t-SNE needs at least eight images".into()));
    }
    let components = principal_components(features, COMPONENTS.min(columns).max(2))?;
    let start = components.f_narrow(1, 0, 2)?;
    let deviation = f64::try_from(start.f_select(1, 0)?.f_square()?.f_mean(Kind::Double)?.f_sqrt()?)?.max(1e-12);
    let start: Vec<f32> = Vec::try_from(&(start * (START / deviation)).f_to_kind(Kind::Float)?.f_flatten(0, -1)?)?;
    let values: Vec<f32> = Vec::try_from(&components.f_to_kind(Kind::Float)?.f_flatten(0, -1)?)?;
    let width = components.size()[1] as usize;
    let samples: Vec<&[f32]> = values.chunks(width).collect();
    let distance = |a: &&[f32], b: &&[f32]| a.iter().zip(b.iter()).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    let mut fit = bhtsne::tSNE::<f32, &[f32], 2>::new(&samples);
    fit.perplexity(PERPLEXITY.min((rows - 1) as f32 / 3.0)).epochs(EPOCHS).initial_embedding(start);
    fit.barnes_hut(THETA, distance);
    Ok(Tensor::from_slice(&fit.embedding()).f_reshape([rows, 2])?.f_to_kind(Kind::Double)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups far from each other, in 60 dimensions.
    fn groups(rows: i64) -> (Tensor, Tensor) {
        let labels = Tensor::arange(rows, (Kind::Int64, Device::Cpu)).remainder(3);
        let noise = (Tensor::arange(rows * 60, (Kind::Double, Device::Cpu)) * 1.37).sin().reshape([rows, 60]);
        let centres = Tensor::eye(60, (Kind::Double, Device::Cpu)).narrow(0, 0, 3) * 30.0;
        (noise + centres.index_select(0, &labels), labels)
    }

    /// The share of rows whose nearest other row is of the same group.
    fn neighbours(points: &Tensor, labels: &Tensor) -> f64 {
        let distances = (points.unsqueeze(1) - points.unsqueeze(0)).square().sum_dim_intlist(-1, false, Kind::Double);
        let own = Tensor::eye(points.size()[0], (Kind::Double, Device::Cpu)) * 1e12;
        let nearest = (distances + own).argmin(1, false);
        let same = labels.index_select(0, &nearest).eq_tensor(labels).to_kind(Kind::Double);
        f64::try_from(same.mean(Kind::Double)).unwrap()
    }

    #[test]
    fn components_are_in_order_and_the_same_from_either_product() -> Result<()> {
        let (x, _) = groups(40);
        let few = principal_components(&x, 4)?;
        let spread = Vec::<f64>::try_from(few.square().sum_dim_intlist(0, false, Kind::Double))?;
        assert!(spread.is_sorted_by(|a, b| a >= b), "{spread:?}");
        // with more rows than columns the other product is taken
        let narrow = x.narrow(1, 0, 5);
        let wide = Tensor::cat(&[&narrow, &Tensor::zeros([40, 50], (Kind::Double, Device::Cpu))], 1);
        let error = f64::try_from((principal_components(&narrow, 3)? - principal_components(&wide, 3)?).abs().max())?;
        assert!(error < 1e-8, "{error}");
        assert_eq!(principal_components(&narrow, 7)?.size(), [40, 7]);
        Ok(())
    }

    #[test]
    fn groups_stay_groups() -> Result<()> {
        let (x, labels) = groups(90);
        let points = t_sne(&x)?;
        assert_eq!(points.size(), [90, 2]);
        assert!(neighbours(&points, &labels) > 0.98 && neighbours(&principal_components(&x, 2)?, &labels) > 0.98);
        assert!(t_sne(&x.narrow(0, 0, 5)).is_err() && principal_components(&x.narrow(0, 0, 1), 2).is_err());
        Ok(())
    }
}
