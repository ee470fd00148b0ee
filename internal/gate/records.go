package gate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"assay/internal/dataset"
)

// Protected are records that nothing may be trained on, known by their values and not by their labels: one with another
// label is a protected record all the same.
type Protected struct {
	schema  *dataset.Schema
	records map[dataset.Digest]bool
}

// Protect takes records under protection.
func Protect(d *dataset.Dataset) *Protected {
	p := &Protected{d.Schema, map[dataset.Digest]bool{}}
	for i := range d.Len() {
		p.records[digest(d.Record(i))] = true
	}
	return p
}

// Len is the number of protected records that differ.
func (p *Protected) Len() int { return len(p.records) }

// Among gives the indices of the records that are protected ones. Without any, the two are disjoint: no record of one has all
// the values of a record of the other. One that is nearly the same is another record. Records that are encoded in another way
// would never be the same, so data of another schema are an error.
func (p *Protected) Among(d *dataset.Dataset) ([]int, error) {
	if err := sameEncoding(p.schema, d.Schema); err != nil {
		return nil, fmt.Errorf("the records cannot be compared with the protected ones: %w; read both by one schema", err)
	}
	var shared []int
	for i := range d.Len() {
		if p.records[digest(d.Record(i))] {
			shared = append(shared, i)
		}
	}
	return shared, nil
}

// sameEncoding reports what is encoded in two ways by two schemas.
func sameEncoding(a, b *dataset.Schema) error {
	if a == b {
		return nil
	}
	if len(a.Features) != len(b.Features) || !slices.Equal(a.Shape, b.Shape) {
		return fmt.Errorf("their features are %d of shape %v in one and %d of shape %v in the other", len(a.Features), a.Shape, len(b.Features), b.Shape)
	}
	for i := range a.Features {
		f, g := &a.Features[i], &b.Features[i]
		if f.Name != g.Name || f.Type != g.Type || !slices.Equal(f.Categories, g.Categories) || f.Missing != g.Missing {
			return fmt.Errorf("the feature %q of one is not encoded as %q of the other", f.Name, g.Name)
		}
	}
	return nil
}

// digest is the SHA-256 of a record's values. Zeros of both signs are one value.
func digest(record []float32) dataset.Digest {
	text := make([]byte, 0, 4*len(record))
	for _, v := range record {
		text = binary.LittleEndian.AppendUint32(text, math.Float32bits(v+0))
	}
	return sha256.Sum256(text)
}

// Share is what one source gives of some records: a census, so it has no bounds.
type Share struct {
	Source  string  `json:"source"`
	Records int     `json:"records"`
	Part    float64 `json:"part"`    // of all records; 0 to 1
	Limit   float64 `json:"limit"`   // the largest part that it may give; 0 where it is not allowed
	Allowed bool    `json:"allowed"` // it is on the list
}

// Kept reports whether the source is allowed and within its limit.
func (s *Share) Kept() bool { return s.Allowed && s.Part <= s.Limit }

// Shares counts the records of each source, given the source of each record, beside the sources that are allowed with the
// largest part that each may give. The sources are in the order of their names. An allowed source of no record is not among them.
func Shares(sources []string, allowed map[string]float64) []Share {
	count := map[string]int{}
	for _, name := range sources {
		count[name]++
	}
	return SharesOf(count, allowed)
}

// SharesOf is Shares of records that were counted already.
func SharesOf(count map[string]int, allowed map[string]float64) []Share {
	all := 0
	for _, n := range count {
		all += n
	}
	var out []Share
	for _, name := range slices.Sorted(maps.Keys(count)) {
		limit, known := allowed[name]
		out = append(out, Share{name, count[name], float64(count[name]) / float64(all), limit, known})
	}
	return out
}

// ReadLimits reads the sources that are allowed with the largest part that each may give, such as north=0.5. There are none for no text.
func ReadLimits(texts []string) (map[string]float64, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	limits := map[string]float64{}
	for _, text := range texts {
		at := strings.LastIndexByte(text, '=')
		part, err := strconv.ParseFloat(text[at+1:], 64)
		if at < 1 || err != nil {
			return nil, fmt.Errorf("the source %s: give a name and a part, such as north=0.5", text)
		}
		limits[text[:at]] = part
	}
	return limits, checkLimits(limits)
}

// checkLimits reports a part that no source can be held to.
func checkLimits(limits map[string]float64) error {
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if v := limits[name]; !(v > 0 && v <= 1) {
			return fmt.Errorf("the source %q may give the part %g of the records: give a number above 0, and at most 1", name, v)
		}
	}
	return nil
}

// Sources reads the source of each record of a dataset from a column of the table that it was read from.
func Sources(ctx context.Context, path, column string, d *dataset.Dataset) ([]string, error) {
	texts, err := dataset.LoadTexts(ctx, path, column, column)
	if err != nil {
		return nil, fmt.Errorf("the records' sources: %w", err)
	}
	of := make(map[int64]string, len(texts.Number))
	for i, number := range texts.Number {
		of[number] = texts.Texts[i]
	}
	sources := make([]string, d.Len())
	for i, number := range d.Number {
		sources[i] = of[number]
	}
	return sources, nil
}
