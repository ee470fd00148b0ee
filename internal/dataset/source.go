package dataset

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Options say how to read a dataset.
type Options struct {
	// Schema overrides what is inferred; nil infers everything. To read another
	// file as a first one was read, give the first one's schema.
	Schema *Schema
	// Label names the label's column or array, where the schema does not.
	Label string
	// LabelFile is a file of labels (IDX or NPY) beside a file of arrays. Without it,
	// the labels of an IDX file named as MNIST's are found by themselves.
	LabelFile string
	// Unlabelled reads records without their class.
	Unlabelled bool
	// BadRecords is how many records may be bad: they are left out and reported.
	// The one beyond is the error.
	BadRecords int
	// MaxBytes bounds the memory for encoded records; 0 is 4 GiB.
	MaxBytes int64
}

func (o *Options) maxBytes() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return 4 << 30
}

// Source is a dataset on disk, which can be read as often as wanted.
type Source struct {
	path    string
	options Options
	format  format
	layout  layout
	encoder *encoder
}

// Open recognises the format of a file or folder by its content and fits the schema
// to it. That takes a pass over the data, unless the options' schema leaves nothing to infer.
func Open(ctx context.Context, path string, o Options) (*Source, error) {
	if o.Schema == nil {
		o.Schema = &Schema{}
	}
	if err := o.Schema.Validate(); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if o.Label != "" && o.Label != o.Schema.Label.Name {
		o.Schema = o.Schema.clone()
		o.Schema.Label = Label{Name: o.Label}
	}
	f, err := recognise(ctx, path, &o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Source{path: path, options: o, format: f, layout: f.layout()}
	schema, err := plan(o.Schema, s.layout, o.Unlabelled)
	if err == nil {
		err = schema.infer(ctx, f, s.layout, o.Unlabelled)
	}
	if err == nil {
		s.encoder, err = newEncoder(schema, s.layout, o.Unlabelled)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Load reads a whole dataset.
func Load(ctx context.Context, path string, o Options) (*Dataset, error) {
	s, err := Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return s.Load(ctx)
}

// Schema is complete: it says what every record is. It must not be changed.
func (s *Source) Schema() *Schema { return s.encoder.schema }

var errStop = errors.New("stop")

// scan encodes record by record, in x, which is used again.
func (s *Source) scan(ctx context.Context, visit func(number int64, x []float32, class int32) error, leave func(*RowError)) error {
	x := make([]float32, s.encoder.width)
	var first *RowError
	bad := 0
	err := s.format.records(ctx, func(r *record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		class, problem := s.encoder.encode(r, x)
		if problem == nil {
			return visit(r.row, x, class)
		}
		if first == nil {
			first = problem
		}
		if bad++; bad > s.options.BadRecords {
			if bad == 1 {
				return problem
			}
			return fmt.Errorf("%w (and %d bad records before it, of which %d may be left out; the first: %w)", problem, bad-1, s.options.BadRecords, first)
		}
		leave(problem)
		return nil
	})
	var row *RowError
	if err != nil && !errors.As(err, &row) && !errors.Is(err, errStop) {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return err
}

// Load reads all records into memory.
func (s *Source) Load(ctx context.Context) (*Dataset, error) {
	d := s.empty()
	limit := s.options.maxBytes() / 4
	if s.layout.rows > limit/int64(s.encoder.width) {
		return nil, fmt.Errorf("%s: its %d records of %d numbers take more than the %d bytes allowed: read it in batches", s.path, s.layout.rows, s.encoder.width, 4*limit)
	}
	err := s.scan(ctx, func(number int64, x []float32, class int32) error {
		if int64(len(d.X)+len(x)) > limit {
			return fmt.Errorf("its records take more than the %d bytes allowed: read it in batches", 4*limit)
		}
		d.X = s.grow(d.X, len(x))
		d.add(number, x, class)
		return nil
	}, func(e *RowError) { d.Bad = append(d.Bad, e) })
	if err != nil {
		return nil, err
	}
	return d, nil
}

// grow makes room for n more numbers. The number of records that a file claims is
// believed only as far as what was read already bears it out.
func (s *Source) grow(x []float32, n int) []float32 {
	if len(x)+n <= cap(x) {
		return x
	}
	const trusted = 4 << 20 // numbers
	more := max(n, trusted, len(x)/2)
	if claimed := int(s.layout.rows)*s.encoder.width - len(x); claimed >= n {
		more = min(claimed, max(n, trusted, len(x)))
	}
	grown := make([]float32, len(x), len(x)+more)
	copy(grown, x)
	return grown
}

func (s *Source) empty() *Dataset {
	d := &Dataset{Schema: s.Schema()}
	if s.encoder.labelled {
		d.Y = []int32{}
	}
	return d
}

func (d *Dataset) add(number int64, x []float32, class int32) {
	d.X = append(d.X, x...)
	d.Number = append(d.Number, number)
	if d.Y != nil {
		d.Y = append(d.Y, class)
	}
}

// Batches goes once through the records in batches of size, the last of which may
// be smaller. Each is a Dataset of its own, with the bad records met on the way to
// it. It ends with the first error.
func (s *Source) Batches(ctx context.Context, size int) iter.Seq2[*Dataset, error] {
	return func(yield func(*Dataset, error) bool) {
		if size < 1 || int64(size) > s.options.maxBytes()/4/int64(s.encoder.width) {
			yield(nil, fmt.Errorf("%s: batches of %d records are empty or take more than the %d bytes allowed", s.path, size, s.options.maxBytes()))
			return
		}
		d := s.empty()
		err := s.scan(ctx, func(number int64, x []float32, class int32) error {
			d.add(number, x, class)
			if d.Len() < size {
				return nil
			}
			full := d
			d = s.empty()
			d.X = make([]float32, 0, len(full.X))
			if !yield(full, nil) {
				return errStop
			}
			return nil
		}, func(e *RowError) { d.Bad = append(d.Bad, e) })
		switch {
		case errors.Is(err, errStop):
		case err != nil:
			yield(nil, err)
		case d.Len() > 0 || len(d.Bad) > 0:
			yield(d, nil)
		}
	}
}

// File is one file of a dataset, with its content's digest.
type File struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 Digest `json:"sha256"`
}

// Manifest fixes what a dataset was: its files, and its records as encoded under the schema.
type Manifest struct {
	Files   []File   `json:"files"`
	Records []Digest `json:"records"` // as Dataset.Digest, in the order of the records
}

// Manifest reads the dataset once more and gives its digests.
func (s *Source) Manifest(ctx context.Context) (*Manifest, error) {
	m := &Manifest{}
	paths, err := s.format.files()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	for _, path := range slices.Sorted(slices.Values(paths)) {
		file, err := hashFile(ctx, path)
		if err != nil {
			return nil, err
		}
		m.Files = append(m.Files, file)
	}
	err = s.scan(ctx, func(_ int64, x []float32, class int32) error {
		d := s.empty()
		d.X, d.Number = x, []int64{0}
		if d.Y != nil {
			d.Y = []int32{class}
		}
		m.Records = append(m.Records, d.Digest(0))
		return nil
	}, func(*RowError) {})
	if err != nil {
		return nil, err
	}
	return m, nil
}
