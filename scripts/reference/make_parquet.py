"""Small Parquet files that the reader's tests read (src/data/fixtures/parquet), each of the codecs and shapes that datasets have.

usage: make_parquet.py OUT      (needs pyarrow)
"""
import datetime
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
rows = [{'text': f'Row {i}: {"é😀" if i % 7 == 0 else "plain"}', 'n': i * 2 ** 40, 'when': datetime.datetime(2024, 1, 1 + i % 28),
         'none': None if i % 3 else 'x'} for i in range(600)]
table = pa.Table.from_pylist(rows)
for codec in ['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4']:
    pq.write_table(table, f'{out}/{codec}.parquet', compression=codec, row_group_size=250, data_page_size=4096,
                   data_page_version='2.0' if codec == 'zstd' else '1.0', write_page_index=codec == 'gzip')
messages = [{'messages': [{'role': 'user', 'content': f'Question {i}'}, {'role': 'assistant', 'content': f'Answer {i}'}]} for i in range(20)]
pq.write_table(pa.Table.from_pylist(messages), f'{out}/messages.parquet', compression='snappy')
# 300 MB of zeros in one page of a few kilobytes.
pq.write_table(pa.table({'text': ['0' * 300_000_000]}), f'{out}/bomb.parquet', compression='zstd', use_dictionary=False, write_statistics=False)
