//! TensorBoard event files: scalars, histograms, pictures, and the configuration as text.
//!
//! The messages and the record framing (length, masked CRC-32C, data, masked CRC-32C) are `tensorboard-rs`'s; its own
//! `SummaryWriter` is not used, because it panics on another thread when the disk is full, has no text and swaps the sides of
//! pictures. Every start and every resume opens a file of its own, numbered so that TensorBoard reads them in order. A
//! resumed one begins with a session start at its step, by which TensorBoard drops what the earlier files say about later
//! steps.
//!
//! Tags: `loss/NAME`, `batch/NAME`, `learning_rate/GROUP`, `train/NAME`, `validation/NAME`, `speed/…`; histograms and pictures keep theirs.

use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Cursor};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use image::{ImageFormat, RgbImage};
use protobuf::{Message, RepeatedField};
use tch::{Device, Kind, Tensor};
use tensorboard_proto::event::{Event as Record, SessionLog, SessionLog_SessionStatus};
use tensorboard_proto::summary::{
    HistogramProto, Summary, Summary_Image, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData,
};
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::tensor_shape::{TensorShapeProto, TensorShapeProto_Dim};
use tensorboard_proto::types::DataType;
use tensorboard_rs::record_writer::RecordWriter;

use super::{Event, Observer};
use crate::eval::Metric;
use crate::{Error, Result};

/// Buckets of a histogram.
const BUCKETS: usize = 64;
const NAME: &str = "events.out.tfevents";

/// Writes event files into a folder.
pub struct TensorBoard {
    path: PathBuf,
    file: fs::File,
    records: RecordWriter<BufWriter<fs::File>>,
}

impl std::fmt::Debug for TensorBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TensorBoard").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TensorBoard {
    /// Starts the next event file in `folder`, which exists.
    ///
    /// # Errors
    /// The folder cannot be read or the file not be written.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let number = next_number(folder)?;
        let path = folder.join(format!("{NAME}.{number:010}.regraft"));
        let failed = || Error::io(&path, "cannot write");
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed())?;
        let records = RecordWriter::new(BufWriter::new(file.try_clone().map_err(failed())?));
        let mut board = Self { path, file, records };
        let mut version = Record::new();
        version.set_file_version("brain.Event:2".into());
        board.write(version, 0)?;
        Ok(board)
    }

    fn write(&mut self, mut record: Record, step: u64) -> Result<()> {
        record.set_wall_time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()));
        record.set_step(step as i64);
        let bytes = record.write_to_bytes().map_err(|error| Error::file(&self.path, error.to_string()))?;
        self.records.write(&bytes).map_err(Error::io(&self.path, "cannot write"))
    }

    fn write_values(&mut self, values: Vec<Summary_Value>, step: u64) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let mut summary = Summary::new();
        summary.set_value(RepeatedField::from(values));
        let mut record = Record::new();
        record.set_summary(summary);
        self.write(record, step)
    }

    fn write_start(&mut self, step: u64) -> Result<()> {
        let mut session = SessionLog::new();
        session.set_status(SessionLog_SessionStatus::START);
        let mut record = Record::new();
        record.set_session_log(session);
        // TensorBoard drops earlier records from this step on; the steps up to `step` are not repeated
        self.write(record, step + 1)
    }

    fn hand_over(&mut self) -> Result<()> {
        self.records.flush().map_err(Error::io(&self.path, "cannot write"))
    }
}

fn next_number(folder: &Path) -> Result<u64> {
    let unreadable = || Error::io(folder, "cannot read the folder");
    let mut highest = 0;
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let name = entry.map_err(unreadable())?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('.')?.split('.').next()?.parse().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest + 1)
}

fn tagged(tag: impl Into<String>) -> Summary_Value {
    let mut value = Summary_Value::new();
    value.set_tag(tag.into());
    value
}

fn scalar(tag: impl Into<String>, number: f64) -> Summary_Value {
    let mut value = tagged(tag);
    value.set_simple_value(number as f32);
    value
}

fn scalars(group: &str, pairs: &[(&str, f64)]) -> Vec<Summary_Value> {
    pairs.iter().map(|(name, number)| scalar(format!("{group}/{name}"), *number)).collect()
}

fn metrics(group: &str, metrics: &[Metric]) -> Vec<Summary_Value> {
    metrics.iter().map(|metric| scalar(format!("{group}/{}", metric.name), metric.value)).collect()
}

/// Markdown under `tag`.
fn text(tag: &str, markdown: &str) -> Summary_Value {
    let mut plugin = SummaryMetadata_PluginData::new();
    plugin.set_plugin_name("text".into());
    let mut metadata = SummaryMetadata::new();
    metadata.set_plugin_data(plugin);
    let mut one = TensorShapeProto_Dim::new();
    one.set_size(1);
    let mut shape = TensorShapeProto::new();
    shape.set_dim(RepeatedField::from(vec![one]));
    let mut tensor = TensorProto::new();
    tensor.set_dtype(DataType::DT_STRING);
    tensor.set_tensor_shape(shape);
    tensor.set_string_val(RepeatedField::from(vec![markdown.as_bytes().to_vec()]));
    let mut value = tagged(tag);
    value.set_metadata(metadata);
    value.set_tensor(tensor);
    value
}

fn picture(path: &Path, tag: &str, image: &RgbImage) -> Result<Summary_Value> {
    let mut png = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .map_err(|error| Error::file(path, format!("cannot encode picture {tag:?}: {error}")))?;
    let mut encoded = Summary_Image::new();
    encoded.set_width(image.width() as i32);
    encoded.set_height(image.height() as i32);
    encoded.set_colorspace(3);
    encoded.set_encoded_image_string(png);
    let mut value = tagged(tag);
    value.set_image(encoded);
    Ok(value)
}

/// Counts `values` in buckets of equal width; `None` where none is finite.
fn histogram(name: &str, values: &Tensor) -> Result<Option<Summary_Value>> {
    let flat = values.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_view(-1)?;
    let all = Vec::<f32>::try_from(&flat)?;
    let numbers = || all.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    let (low, high) = numbers().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return Ok(None);
    }
    let buckets = if high > low { BUCKETS } else { 1 };
    let width = (high - low) / buckets as f64;
    let mut counts = vec![0.0; buckets];
    for value in numbers() {
        let bucket = if width > 0.0 { ((value - low) / width) as usize } else { 0 };
        counts[bucket.min(buckets - 1)] += 1.0;
    }
    // the last limit is the maximum itself, whatever rounding does to the sum
    let limits = (1..=buckets).map(|index| if index == buckets { high } else { low + width * index as f64 });
    let mut proto = HistogramProto::new();
    proto.set_min(low);
    proto.set_max(high);
    proto.set_num(numbers().count() as f64);
    proto.set_sum(numbers().sum());
    proto.set_sum_squares(numbers().map(|value| value * value).sum());
    proto.set_bucket_limit(limits.collect());
    proto.set_bucket(counts);
    let mut value = tagged(name);
    value.set_histo(proto);
    Ok(Some(value))
}

impl Observer for TensorBoard {
    fn observe(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started(start) => {
                if start.step > 0 {
                    self.write_start(start.step)?;
                }
                let config = format!("```json\n{}\n```", start.config.trim_end());
                self.write_values(vec![text("config", &config)], start.step)?;
                self.hand_over()
            }
            Event::Step(step) => {
                let mut values = scalars("loss", step.losses);
                values.extend(scalars("learning_rate", step.learning_rates));
                values.extend(metrics("batch", step.metrics));
                values.extend(step.gradient_norm.map(|norm| scalar("gradient_norm", norm)));
                values.push(scalar("speed/images_per_second", step.images_per_second));
                values.push(scalar("speed/data_wait", step.data_wait));
                self.write_values(values, step.step)
            }
            Event::Epoch(epoch) => {
                let mut values = metrics("train", epoch.train);
                values.extend(metrics("validation", epoch.validation));
                values.push(scalar("speed/epoch_seconds", epoch.seconds));
                values.push(scalar("epoch", epoch.epoch as f64 + 1.0));
                self.write_values(values, epoch.step)?;
                self.hand_over()
            }
            Event::Histogram { step, name, values } => {
                let value = histogram(name, values)?;
                self.write_values(value.into_iter().collect(), *step)
            }
            Event::Image { step, tag, image } => {
                let value = picture(&self.path, tag, image)?;
                self.write_values(vec![value], *step)
            }
            Event::Message(_) | Event::Work { .. } => Ok(()),
            Event::Finished(_) => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.hand_over()?;
        self.file.sync_data().map_err(Error::io(&self.path, "cannot write"))
    }
}

#[cfg(test)]
mod tests {
    use tensorboard_rs::masked_crc32c::masked_crc32c;

    use super::super::tests::{epoch, started, step};
    use super::*;

    /// The records of a file; panics where a checksum does not fit.
    fn read(path: &Path) -> Vec<Record> {
        let bytes = fs::read(path).unwrap();
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            assert_eq!(number(at + 8), masked_crc32c(&bytes[at..at + 8]), "checksum of the length");
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            let data = &bytes[at + 12..at + 12 + length];
            assert_eq!(number(at + 12 + length), masked_crc32c(data), "checksum of the data");
            records.push(protobuf::Message::parse_from_bytes(data).unwrap());
            at += 16 + length;
        }
        records
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn values(records: &[Record]) -> impl Iterator<Item = (i64, &Summary_Value)> {
        records
            .iter()
            .flat_map(|record| record.get_summary().get_value().iter().map(|value| (record.get_step(), value)))
    }

    #[test]
    fn what_was_told_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::create(folder.path()).unwrap();
        board.observe(&started(0)).unwrap();
        step(1, 0.5)(&mut board);
        step(2, 0.25)(&mut board);
        epoch(0)(&mut board);
        let weights = Tensor::from_slice(&[-1.0f32, 0.0, 0.5, 1.0, f32::NAN]);
        board.observe(&Event::Histogram { step: 2, name: "weights/head", values: &weights }).unwrap();
        let image = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 0]));
        board.observe(&Event::Image { step: 2, tag: "input", image: &image }).unwrap();
        board.flush().unwrap();

        let records = read(&files(folder.path())[0]);
        assert_eq!(records[0].get_file_version(), "brain.Event:2");
        assert!(records.is_sorted_by_key(|record| record.get_step()));
        let find = |tag: &str| values(&records).filter(|(_, value)| value.get_tag() == tag).collect::<Vec<_>>();
        let losses: Vec<_> = find("loss/total").iter().map(|(step, value)| (*step, value.get_simple_value())).collect();
        assert_eq!(losses, [(1, 0.5), (2, 0.25)]);
        assert_eq!(find("learning_rate/head").len(), 2);
        assert_eq!(find("validation/accuracy")[0].1.get_simple_value(), 0.875);
        let histogram = find("weights/head")[0].1.get_histo();
        assert_eq!((histogram.get_min(), histogram.get_max(), histogram.get_num()), (-1.0, 1.0, 4.0));
        assert_eq!(histogram.get_bucket().iter().sum::<f64>(), 4.0);
        assert_eq!(histogram.get_bucket_limit().last(), Some(&1.0));
        let picture = find("input")[0].1.get_image();
        assert_eq!((picture.get_width(), picture.get_height()), (5, 3));
        assert_eq!(image::load_from_memory(picture.get_encoded_image_string()).unwrap().to_rgb8(), image);
        let config = &find("config")[0].1.get_tensor().get_string_val()[0];
        assert_eq!(config, b"```json\n{\"seed\": 1}\n```");
    }

    #[test]
    fn a_resume_starts_a_file_that_hides_the_later_steps() {
        let folder = tempfile::tempdir().unwrap();
        for resume in [0, 2] {
            let mut board = TensorBoard::create(folder.path()).unwrap();
            board.observe(&started(resume)).unwrap();
            step(resume + 1, 0.5)(&mut board);
            board.flush().unwrap();
        }
        let [first, second] = &files(folder.path())[..] else { panic!("two files") };
        assert!(!read(first).iter().any(Record::has_session_log));
        let records = read(second);
        assert_eq!(records[1].get_session_log().get_status(), SessionLog_SessionStatus::START);
        assert_eq!(records[1].get_step(), 3);
    }

    #[test]
    fn histograms_survive_constants_halves_and_nothing() {
        let constant = Tensor::full([2, 3], 0.5, (Kind::BFloat16, Device::Cpu));
        let value = histogram("a", &constant).unwrap().unwrap();
        assert_eq!(value.get_histo().get_bucket(), [6.0]);
        for empty in [Tensor::from_slice::<f32>(&[]), Tensor::from_slice(&[f32::NAN])] {
            assert!(histogram("a", &empty).unwrap().is_none());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let records = RecordWriter::new(BufWriter::new(file.try_clone().unwrap()));
        let mut board = TensorBoard { path: "/dev/full".into(), file, records };
        let message = board.observe(&started(0)).unwrap_err().to_string();
        assert!(message.starts_with("/dev/full: cannot write"), "{message}");
    }
}
