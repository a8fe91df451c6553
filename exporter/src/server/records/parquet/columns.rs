//! Records as the columns of a Parquet file.

use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::super::row::{Hex, seconds};
use crate::records::wire::{Record, RecordBatch};

/// How a column is read off a record.
enum Read {
    Text(for<'a> fn(&'a RecordBatch, &'a Record) -> &'a str),
    Id(fn(&Record) -> &[u8]),
    Time(fn(&Record) -> u64),
    Count(fn(&Record) -> u32),
    Number(fn(&Record) -> f64),
    /// Zero is none.
    Maybe(fn(&Record) -> u64),
    Flag(fn(&Record) -> bool),
}

/// In the order of the file.
const COLUMNS: [(&str, Read); 23] = [
    ("time", Read::Time(|record| record.time_unix_ns)),
    ("duration_seconds", Read::Number(|record| seconds(record.duration_ns))),
    ("instance", Read::Text(|batch, _| &batch.instance)),
    ("id", Read::Text(|_, record| &record.id)),
    ("trace_id", Read::Id(|record| &record.trace_id)),
    ("span_id", Read::Id(|record| &record.span_id)),
    ("parent_span_id", Read::Id(|record| &record.parent_span_id)),
    ("route", Read::Text(|_, record| &record.route)),
    ("model", Read::Text(|_, record| &record.model)),
    ("subject", Read::Text(|_, record| &record.subject)),
    ("role", Read::Text(|_, record| &record.role)),
    ("status", Read::Count(|record| record.status)),
    ("outcome", Read::Text(|_, record| &record.outcome)),
    ("reason", Read::Text(|_, record| &record.reason)),
    ("finish", Read::Text(|_, record| &record.finish)),
    ("prompt_tokens", Read::Count(|record| record.prompt_tokens)),
    ("cached_tokens", Read::Count(|record| record.cached_tokens)),
    ("completion_tokens", Read::Count(|record| record.completion_tokens)),
    ("queue_seconds", Read::Number(|record| seconds(record.queue_ns))),
    ("first_token_seconds", Read::Maybe(|record| record.first_token_ns)),
    ("stream", Read::Flag(|record| record.stream)),
    ("weight", Read::Number(|record| record.weight)),
    ("kept", Read::Text(|_, record| &record.kept)),
];

impl Read {
    fn declared(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Id(_) => "required binary {name} (STRING);",
            Self::Time(_) => "required int64 {name} (TIMESTAMP(NANOS,true));",
            Self::Count(_) => "required int32 {name} (INTEGER(32,false));",
            Self::Number(_) => "required double {name};",
            Self::Maybe(_) => "optional double {name};",
            Self::Flag(_) => "required boolean {name};",
        }
    }
}

/// A whole file.
pub(super) fn write(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let fields: String = COLUMNS.iter().map(|(name, read)| read.declared().replace("{name}", name)).collect();
    let schema = Arc::new(parse_message_type(&format!("message request {{ {fields} }}"))?);
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (_, read) in &COLUMNS {
        let column = group.next_column()?;
        fill(column.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?, read, batches)?;
    }
    group.close()?;
    file.into_inner()
}

fn fill(mut column: SerializedColumnWriter<'_>, read: &Read, batches: &[RecordBatch]) -> Result<()> {
    let pairs = || batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, record)));
    let records = || pairs().map(|(_, record)| record);
    match (column.untyped(), read) {
        (ColumnWriter::ByteArrayColumnWriter(to), Read::Text(read)) => {
            let texts = pairs().map(|(batch, record)| ByteArray::from(read(batch, record)));
            to.write_batch(&texts.collect::<Vec<_>>(), None, None)
        }
        (ColumnWriter::ByteArrayColumnWriter(to), Read::Id(read)) => {
            let texts = records().map(|record| ByteArray::from(Hex(read(record)).to_string().into_bytes()));
            to.write_batch(&texts.collect::<Vec<_>>(), None, None)
        }
        (ColumnWriter::Int64ColumnWriter(to), Read::Time(read)) => {
            let times = records().map(|record| i64::try_from(read(record)).unwrap_or(i64::MAX));
            to.write_batch(&times.collect::<Vec<_>>(), None, None)
        }
        (ColumnWriter::Int32ColumnWriter(to), Read::Count(read)) => {
            // The column says that it has no sign.
            let counts = records().map(|record| read(record).cast_signed());
            to.write_batch(&counts.collect::<Vec<_>>(), None, None)
        }
        (ColumnWriter::DoubleColumnWriter(to), Read::Number(read)) => {
            to.write_batch(&records().map(read).collect::<Vec<_>>(), None, None)
        }
        (ColumnWriter::DoubleColumnWriter(to), Read::Maybe(read)) => {
            let there: Vec<i16> = records().map(|record| i16::from(read(record) > 0)).collect();
            let numbers = records().map(read).filter(|nanos| *nanos > 0).map(seconds);
            to.write_batch(&numbers.collect::<Vec<_>>(), Some(&there), None)
        }
        (ColumnWriter::BoolColumnWriter(to), Read::Flag(read)) => {
            to.write_batch(&records().map(read).collect::<Vec<_>>(), None, None)
        }
        _ => Err(ParquetError::General("a column is of another type".to_owned())),
    }?;
    column.close()
}
