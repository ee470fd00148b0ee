// Package dataset reads datasets for training, testing and attacks: CSV and TSV,
// Parquet, NPY and NPZ, IDX, JSON Lines and folders of images. A Schema, inferred
// and overridable, says what each feature is, what an attacker may do to it, and
// how records are encoded as 32-bit numbers in the data's own units; it also turns
// encoded records back. Files are hostile until shown otherwise: whatever they
// claim, memory stays bounded and a bad record is named by file, row and column.
package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
)

// Dataset is encoded records in memory.
type Dataset struct {
	Schema *Schema
	X      []float32   // Len() records of Schema.RecordShape(), row-major, in the data's own units
	Y      []int32     // each record's class, an index into Schema.Label.Classes; nil without labels
	Number []int64     // each record's number in its source, from 1
	Bad    []*RowError // the records that were left out
}

// Len is the number of records.
func (d *Dataset) Len() int { return len(d.Number) }

// Record is the encoded record i, a view of X.
func (d *Dataset) Record(i int) []float32 {
	w := d.Schema.Width()
	return d.X[i*w : (i+1)*w : (i+1)*w]
}

// Select gives a new Dataset of the records at the given indices, in their order.
func (d *Dataset) Select(indices []int) *Dataset {
	out := &Dataset{Schema: d.Schema, Number: make([]int64, len(indices))}
	out.X = make([]float32, len(indices)*d.Schema.Width())
	if d.Y != nil {
		out.Y = make([]int32, len(indices))
	}
	d.Gather(indices, out.X, out.Y)
	for i, index := range indices {
		out.Number[i] = d.Number[index]
	}
	return out
}

// Gather copies the records at the given indices to x, and their classes to y
// unless it is nil, without allocating.
func (d *Dataset) Gather(indices []int, x []float32, y []int32) {
	w := d.Schema.Width()
	for i, index := range indices {
		copy(x[i*w:(i+1)*w], d.X[index*w:(index+1)*w])
		if y != nil && d.Y != nil {
			y[i] = d.Y[index]
		}
	}
}

// Minibatches goes once through all records in an order drawn from r, in batches
// of size indices, the last of which may be smaller. The slice is used again.
func (d *Dataset) Minibatches(size int, r *rand.Rand) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		order := r.Perm(d.Len())
		for len(order) > 0 {
			n := min(max(size, 1), len(order))
			if !yield(order[:n:n]) {
				return
			}
			order = order[n:]
		}
	}
}

// Digest is a SHA-256.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a digest in hexadecimal.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(d) {
		return fmt.Errorf("%s is no SHA-256 digest", quote(string(text)))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Digest identifies the record i by its content: SHA-256 of the number of its
// values (8 bytes), the values (float32) and the name of its class, little-endian.
// Records of different files and formats that are the same to a model have the
// same digest, if they are read under the same schema.
func (d *Dataset) Digest(i int) Digest {
	record := d.Record(i)
	data := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+4*len(record)+16), uint64(len(record)))
	for _, v := range record {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	if d.Y != nil {
		data = append(data, d.Schema.Label.Classes[d.Y[i]]...)
	}
	return sha256.Sum256(data)
}

// Place is a record of one of several datasets.
type Place struct{ Dataset, Record int }

// Duplicates finds the records that occur more than once in the datasets, such as
// the parts of a split: each list holds the places of one record, in order.
func Duplicates(datasets ...*Dataset) [][]Place {
	first := map[Digest]Place{}
	list := map[Digest]int{}
	var out [][]Place
	for k, d := range datasets {
		for i := range d.Len() {
			digest, place := d.Digest(i), Place{k, i}
			before, seen := first[digest]
			if !seen {
				first[digest] = place
				continue
			}
			at, listed := list[digest]
			if !listed {
				at = len(out)
				list[digest] = at
				out = append(out, []Place{before})
			}
			out[at] = append(out[at], place)
		}
	}
	return out
}

// Statistics are of one number of the encoded records.
type Statistics struct{ Mean, Std, Min, Max float64 }

// Statistics gives the mean, the standard deviation (of the population) and the
// range of each number of the encoded records. They are zero without records.
func (d *Dataset) Statistics() []Statistics {
	w, n := d.Schema.Width(), d.Len()
	out := make([]Statistics, w)
	if n == 0 {
		return out
	}
	for j := range out {
		out[j] = Statistics{Min: math.Inf(1), Max: math.Inf(-1)}
	}
	for i := range n {
		for j, v := range d.Record(i) {
			s := &out[j]
			x := float64(v)
			delta := x - s.Mean // Welford (1962): no cancellation where the mean is large
			s.Mean += delta / float64(i+1)
			s.Std += delta * (x - s.Mean)
			s.Min, s.Max = min(s.Min, x), max(s.Max, x)
		}
	}
	for j := range out {
		out[j].Std = math.Sqrt(max(out[j].Std, 0) / float64(n))
	}
	return out
}
