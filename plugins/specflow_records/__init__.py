"""Sources of records: TFRecord, ArrayRecord, NumPy files, Hugging Face and TFDS.

Each is a section of `specflow.data`, of the public base `specflow.RecordsConfig`, and a
reader of records by number. What a reader imports comes with an extra.
"""
