//! The proxy A-distance: how well a linear classifier tells two domains apart by their features.
//!
//! Ben-David et al. 2007, as Ganin et al. 2016 measure it (section 5.1.4 there): d = 2 (1 − 2 ε), where ε is the test error of a
//! classifier of the domain. 0 for domains that cannot be told apart, 2 for domains that always can. The classifier is a logistic
//! regression on standardised features, trained on every other image and tested on the rest.

use tch::{Kind, Tensor};

use crate::models::LogisticRegression;
use crate::{Error, Result};

/// The penalty of the classifier for each row.
const PENALTY: f64 = 1.0;

/// The most images of a domain that are looked at, evenly spread over those there are.
const MOST: i64 = 1000;

/// The distance of two domains, in 0..2.
///
/// # Shapes
/// `source: [N, D]`, `target: [M, D]`, N and M ≥ 4
///
/// # Errors
/// Fewer images, or what libtorch refuses.
pub fn proxy_a_distance(source: &Tensor, target: &Tensor) -> Result<f64> {
    let images = source.size()[0].min(target.size()[0]);
    if images < 4 {
        return Err(Error::Data("the distance of domains needs at least four images of each".into()));
    }
    let some = |x: &Tensor| x.f_slice(0, 0, None, (x.size()[0] + MOST - 1) / MOST);
    let (source, target) = (some(source)?, some(target)?);
    let half = |x: &Tensor, first: i64| x.f_slice(0, first, None, 2);
    let rows = |first: i64| -> Result<(Tensor, Tensor)> {
        let (one, other) = (half(&source, first)?, half(&target, first)?);
        let labels = Tensor::f_cat(&[one.f_zeros_like()?.f_select(1, 0)?, other.f_ones_like()?.f_select(1, 0)?], 0)?;
        Ok((Tensor::f_cat(&[one, other], 0)?.f_to_kind(Kind::Double)?, labels.f_to_kind(Kind::Int64)?))
    };
    let ((train, train_labels), (test, test_labels)) = (rows(0)?, rows(1)?);
    let mean = train.f_mean_dim(0, true, Kind::Double)?;
    let deviation = train.f_sub(&mean)?.f_square()?.f_mean_dim(0, true, Kind::Double)?.f_sqrt()?.f_clamp_min(1e-9)?;
    let standard = |x: Tensor| x.f_sub(&mean)?.f_div(&deviation);
    let (train, test) = (standard(train)?, standard(test)?);
    let fitted = LogisticRegression::fit(&train, &train_labels, 2, PENALTY / train.size()[0] as f64)?;
    let wrong = fitted.logits(&test)?.f_argmax(-1, false)?.f_ne_tensor(&test_labels)?.f_to_kind(Kind::Double)?;
    // both domains count alike, however many images each has
    let error = |domain: i64| -> Result<f64> {
        let own = test_labels.f_eq(domain)?.f_to_kind(Kind::Double)?;
        Ok(f64::try_from(wrong.f_mul(&own)?.f_sum(Kind::Double)?.f_div(&own.f_sum(Kind::Double)?)?)?)
    };
    let error = (error(0)? + error(1)?) / 2.0;
    Ok((2.0 * (1.0 - 2.0 * error)).max(0.0))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn numbers(rows: i64, speed: f64) -> Tensor {
        (Tensor::arange(rows * 3, (Kind::Float, Device::Cpu)) * speed).sin().reshape([rows, 3])
    }

    #[test]
    fn it_is_two_for_domains_apart_and_near_nothing_for_one() -> Result<()> {
        let source = numbers(300, 1.3);
        assert_eq!(proxy_a_distance(&source, &(numbers(200, 1.7) + 5.0))?, 2.0);
        let near = proxy_a_distance(&source, &numbers(300, 1.9))?;
        assert!(near < 0.3, "{near}");
        assert!(proxy_a_distance(&source, &numbers(3, 1.0)).is_err());
        Ok(())
    }
}
