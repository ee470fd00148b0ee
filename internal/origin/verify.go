package origin

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"assay/internal/dataset"
	"assay/internal/gate"
	"assay/internal/provenance"
)

// Kind is what is wrong with data or a record.
type Kind string

// The kinds of faults.
const (
	Unsigned Kind = "unsigned" // nobody who is trusted vouches for the batch
	Altered  Kind = "altered"  // its files, or the names of its columns, are not as they were signed
	Changed  Kind = "changed"  // the record is not as it was signed
	Added    Kind = "added"    // the record was not there
	Removed  Kind = "removed"  // the record is not there any more
	Stranger Kind = "source"   // the source is not allowed
	Share    Kind = "share"    // the source gives more than its part
)

// Fault is something that is wrong, and where.
type Fault struct {
	Kind   Kind   `json:"kind"`
	File   string `json:"file,omitempty"`
	Record int64  `json:"record,omitempty"` // its number in the data, from 1, or where it was removed, in the data as they were signed
	Line   int64  `json:"line,omitempty"`   // in a text file, from 1
	Detail string `json:"detail"`
}

func (f Fault) String() string {
	text := f.File
	if f.Record > 0 {
		text += fmt.Sprintf(" record %d", f.Record)
	}
	if f.Line > 0 {
		text += fmt.Sprintf(" (line %d)", f.Line)
	}
	if text != "" {
		text += ": "
	}
	return text + f.Detail
}

// maxFaults is how many faults a report names.
const maxFaults = 1000

// Census is what a batch came to.
type Census struct {
	Path     string    `json:"path"`
	Manifest string    `json:"manifest"`
	Signer   string    `json:"signer,omitempty"` // who vouches for it; empty for nobody
	Signed   *Manifest `json:"signed,omitempty"`
	Records  int64     `json:"records"`  // there are
	Verified int64     `json:"verified"` // of them: as they were signed
}

// Report is what Verify found. Of all records it tells, so that its figures have no bounds.
type Report struct {
	Records  int64        `json:"records"`
	Verified int64        `json:"verified"` // records that somebody who is trusted vouches for, and that are as they were
	Batches  []Census     `json:"batches"`
	Shares   []gate.Share `json:"shares"` // of the sources; the empty one is of records whose origin is not verified
	Faults   []Fault      `json:"faults"` // the first thousand
	Wrong    int64        `json:"wrong"`  // faults in all
}

// verifier goes through batches.
type verifier struct {
	trust   provenance.Trust
	allowed map[string]float64
	report  *Report
	count   map[string]int            // records by source
	seen    map[dataset.Digest]string // batches by the digest of their records
}

// Verify asks of every record of some data whether somebody who is trusted vouches for it, and whether it is as it was. Allowed are the
// sources, with the largest part of all records that each may give; nil for any. What is wrong with data or a manifest is a
// fault; an error is what kept them from being looked at. Memory does not grow with the records.
//
// A record is verified by its place: those that were put into another order are changed. Whoever is trusted is believed about the
// source of what they sign.
func Verify(ctx context.Context, batches []Data, trust provenance.Trust, allowed map[string]float64) (*Report, error) {
	v := &verifier{trust, allowed, &Report{Batches: []Census{}, Faults: []Fault{}}, map[string]int{}, map[dataset.Digest]string{}}
	for _, data := range batches {
		c, err := v.batch(ctx, data)
		if err != nil {
			return nil, err
		}
		v.report.Batches = append(v.report.Batches, *c)
		v.report.Records += c.Records
		v.report.Verified += c.Verified
	}
	v.report.Shares = gate.SharesOf(v.count, allowed)
	for _, s := range v.report.Shares {
		if allowed != nil && s.Allowed && !s.Kept() {
			v.fault(Fault{Kind: Share, Detail: fmt.Sprintf("the source %q gives %d of %d records (%.1f %%), and %.1f %% at most are allowed", s.Source, s.Records, v.report.Records, 100*s.Part, 100*s.Limit)})
		}
	}
	return v.report, nil
}

func (v *verifier) fault(f Fault) {
	if v.report.Wrong++; len(v.report.Faults) < maxFaults {
		v.report.Faults = append(v.report.Faults, f)
	}
}

// batch verifies one batch.
func (v *verifier) batch(ctx context.Context, data Data) (*Census, error) {
	content, err := dataset.OpenContent(ctx, data.Path, data.LabelFile)
	if err != nil {
		return nil, err
	}
	c := &Census{Path: data.Path, Manifest: data.Manifest}
	s, done, err := v.open(ctx, data)
	if err != nil {
		return nil, err
	}
	defer done()
	if s != nil {
		c.Signer, c.Signed = s.by, s.Manifest
		same, err := v.same(ctx, data, s, content)
		if err != nil {
			return nil, err
		}
		if same {
			return c, v.records(ctx, c, s, content)
		}
	}
	err = content.Records(ctx, "", func(dataset.Item, error) error { c.Records++; return nil })
	v.count[""] += int(c.Records)
	return c, err
}

// open opens the manifest of a batch. It is nil where nobody who is trusted vouches for the batch, which is a fault.
func (v *verifier) open(ctx context.Context, data Data) (s *signed, done func(), err error) {
	f, err := os.Open(data.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		v.fault(Fault{Kind: Unsigned, File: data.Path, Detail: fmt.Sprintf("there is no manifest %s, so nobody vouches for these records", data.Manifest)})
		return nil, func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil, errors.Join(fmt.Errorf("the manifest %s is no regular file", data.Manifest), err, f.Close())
	}
	done = func() { _ = f.Close() } // it was only read
	if s, err = open(ctx, f, info.Size(), v.trust); err == nil {
		return s, done, nil
	}
	if ctx.Err() != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	v.fault(Fault{Kind: Unsigned, File: data.Manifest, Detail: err.Error()})
	return nil, done, nil
}

// same reports whether the manifest is that of these data, whatever became of their records: of another name or other columns it is
// not, and of a batch that was there already it is not again. That the files are other bytes is a fault beside what the records tell.
func (v *verifier) same(ctx context.Context, data Data, s *signed, content *dataset.Content) (bool, error) {
	var now Manifest
	if err := now.files(ctx, content, data.Path); err != nil {
		return false, err
	}
	if s.SHA256 != now.SHA256 || s.Bytes != now.Bytes || s.Files != now.Files {
		v.fault(Fault{Kind: Altered, File: data.Path, Detail: fmt.Sprintf("what it is read from is not what was signed: %d bytes with the digest %s, and %d bytes with %s were", now.Bytes, now.SHA256, s.Bytes, s.SHA256)})
	}
	before, twice := v.seen[s.Digests]
	v.seen[s.Digests] = data.Path
	wrong := ""
	switch {
	case s.File != now.File:
		wrong = fmt.Sprintf("its manifest is that of %s: it was renamed, or the manifest is of other data", s.File)
	case !slices.Equal(s.Columns, content.Columns()):
		wrong = fmt.Sprintf("its columns are %q, and were %q when it was signed", content.Columns(), s.Columns)
	case s.SourceColumn != "" && !slices.Contains(s.Columns, s.SourceColumn):
		wrong = fmt.Sprintf("its manifest names the column %q for the sources, and there is none", s.SourceColumn)
	case twice:
		wrong = fmt.Sprintf("its records are those of %s once more", before)
	}
	if wrong != "" {
		v.fault(Fault{Kind: Altered, File: data.Path, Detail: wrong})
	}
	return wrong == "", nil
}

// found is a record as it is, with what is wrong with it.
type found struct {
	dataset.Item
	problem error
}

// window is how far ahead is looked, at most, for where records are again as they were signed.
const window = 1024

// records compares the records with those that were signed, one after the other. Where they part, the next place is looked for at
// which they meet again: what lies between was changed, added or removed. It is looked for nearby first, so that the time is in
// proportion to the records however many were changed.
func (v *verifier) records(ctx context.Context, c *Census, s *signed, content *dataset.Content) error {
	if s.Source != "" && v.stranger(s.Source) {
		v.fault(Fault{Kind: Stranger, File: c.Path, Detail: fmt.Sprintf("all its records are of the source %q, which is not allowed", s.Source)})
	}
	var failed error
	next, stop := iter.Pull(each(ctx, content, s.SourceColumn, &failed))
	defer stop()
	is, was := &ahead[found]{next: next}, &ahead[dataset.Digest]{next: s.digests(&failed)}
	number := int64(1) // of the next that was signed
	for len(is.held(1))+len(was.held(1)) > 0 {
		i, j, match := 0, 0, false
		for reach := 1; reach <= window && !match; reach *= 4 {
			i, j, match = meet(is.held(reach), was.held(reach))
		}
		for k := range max(i, j) {
			v.parted(c, is.held(i), k, j, number+int64(k))
		}
		if match {
			if err := v.verified(c, s, is.held(i + 1)[i]); err != nil {
				return err
			}
			i, j = i+1, j+1
		}
		is.drop(i)
		was.drop(j)
		number += int64(j)
	}
	return failed
}

// digests reads the digests from the first on.
func (s *signed) digests(failed *error) func() (dataset.Digest, bool) {
	body := bufio.NewReaderSize(s.body(), 1<<16)
	return func() (d dataset.Digest, more bool) {
		_, err := io.ReadFull(body, d[:])
		if err != nil && !errors.Is(err, io.EOF) {
			*failed = errors.Join(*failed, err)
		}
		return d, err == nil
	}
}

// each gives the records of a content.
func each(ctx context.Context, content *dataset.Content, column string, failed *error) iter.Seq[found] {
	return func(yield func(found) bool) {
		enough := errors.New("enough")
		err := content.Records(ctx, column, func(i dataset.Item, problem error) error {
			if !yield(found{i, problem}) {
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			*failed = errors.Join(*failed, err)
		}
	}
}

// parted notes the place k at which i records stand where j were signed.
func (v *verifier) parted(c *Census, is []found, k, j int, number int64) {
	if k >= len(is) {
		v.fault(Fault{Kind: Removed, File: c.Path, Record: number, Detail: "it was signed, and is not there any more"})
		return
	}
	f := Fault{Kind: Changed, File: is[k].File, Record: is[k].Number, Line: is[k].Line, Detail: "it is not as it was signed"}
	if k >= j {
		f.Kind, f.Detail = Added, "it was not there when the batch was signed"
	}
	if is[k].problem != nil {
		f.Detail += ", and cannot be read: " + is[k].problem.Error()
	}
	c.Records++
	v.count[""]++
	v.fault(f)
}

// verified counts a record that is as it was signed.
func (v *verifier) verified(c *Census, s *signed, r found) error {
	c.Records++
	source := s.Source
	if s.SourceColumn != "" {
		source = r.Cell
		place := Fault{Kind: Stranger, File: r.File, Record: r.Number, Line: r.Line}
		if err := checkSource(source); err != nil {
			place.Detail = err.Error()
			v.count[""]++
			v.fault(place)
			return nil
		}
		if v.stranger(source) {
			place.Detail = fmt.Sprintf("its source %q is not allowed", source)
			v.fault(place)
		}
	}
	c.Verified++
	if v.count[source]++; len(v.count) > maxSources {
		return fmt.Errorf("%s: %w", filepath.Clean(c.Path), tooManySources(s.SourceColumn))
	}
	return nil
}

func (v *verifier) stranger(source string) bool {
	_, known := v.allowed[source]
	return v.allowed != nil && !known
}

// ahead is a sequence of which some is held, to be looked at.
type ahead[T any] struct {
	next  func() (T, bool)
	queue []T
	head  int
	ended bool
}

// held gives the next n, or fewer at the end.
func (a *ahead[T]) held(n int) []T {
	for len(a.queue)-a.head < n && !a.ended {
		one, more := a.next()
		if a.ended = !more; more {
			a.queue = append(a.queue, one)
		}
	}
	return a.queue[a.head:min(a.head+n, len(a.queue))]
}

func (a *ahead[T]) drop(n int) {
	if a.head += n; a.head >= window {
		a.queue = a.queue[:copy(a.queue, a.queue[a.head:])]
		a.head = 0
	}
}

// meet gives the nearest places at which a record is one that was signed: the fewest records before both. Without any they
// are all that is held.
func meet(is []found, was []dataset.Digest) (i, j int, match bool) {
	if len(is) > 0 && len(was) > 0 && is[0].problem == nil && is[0].Digest == was[0] {
		return 0, 0, true
	}
	first := make(map[[sha256.Size]byte]int, len(was))
	for j, d := range slices.Backward(was) {
		first[d] = j
	}
	i, j = len(is), len(was)
	for k, r := range is {
		if l, there := first[r.Digest]; there && r.problem == nil && (!match || k+l < i+j) {
			i, j, match = k, l, true
		}
	}
	return i, j, match
}
