package trees

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"assay/internal/scan"
	"assay/internal/scan/flatbuffer"
	"assay/internal/scan/secret"
)

// CatBoost scans CatBoost's binary models (catboost/libs/model): a flatbuffer with trees,
// which are numbers, and tables of categories after it. Its JSON is JSON like any other.
type CatBoost struct{}

// Describe names the format and its rules.
func (CatBoost) Describe() scan.Description {
	return scan.Description{Name: "catboost", Title: "CatBoost model", Rules: append([]scan.Rule{
		{ID: "catboost-structure", Title: "An offset or length in the file is not possible"},
		{ID: "catboost-part", Title: "A part of the model is not known"},
	}, secret.Rules("catboost")...)}
}

const catboostMagic = "CBM1"

// Match reports the first four bytes.
func (CatBoost) Match(p scan.Probe) bool { return bytes.HasPrefix(p.Head, []byte(catboostMagic)) }

// Fields of the tables TModelCore (model.fbs), TKeyValue and TCtrValueTable (ctr_data.fbs).
const (
	fieldVersion = 0
	fieldTrees   = 1
	fieldInfo    = 2
	fieldParts   = 3

	fieldKey   = 0
	fieldValue = 1

	fieldIndex = 1
	fieldBlob  = 2

	coreVersion  = "FlabuffersModel_v1" // as the library spells it
	tablesPart   = "static_provider_v1"
	maxTables    = 1 << 20
	maxFlatbytes = 1 << 40
)

// vectors are the lists of numbers in the table TObliviousTrees and the bytes of an element.
var vectors = map[int]int64{1: 4, 2: 4, 3: 4, 8: 8, 9: 8, 10: 4, 11: 4}

// Scan reads the core and the tables after it.
func (CatBoost) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	c := &catboost{file: f, report: r, at: at, size: size, next: int64(len(catboostMagic))}
	err = c.scan(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.AccountsForAll()
		r.Add(scan.Finding{Rule: "catboost-structure", Severity: scan.Medium, Place: f.Place(c.next, ""), Message: fmt.Sprintf("It is damaged: %v. CatBoost does not check and would read beyond its memory.", err), Remedy: "Get the file again from its source, or save the model anew."})
		return nil
	}
	r.Accounts(0, c.next)
	return nil
}

type catboost struct {
	file   *scan.File
	report *scan.Report
	at     io.ReaderAt
	size   int64
	next   int64
}

func (c *catboost) scan(ctx context.Context) error {
	core, start, err := c.part()
	if err != nil {
		return err
	}
	m := core.Root()
	if version := core.Text(m, fieldVersion); core.Err() == nil && version != coreVersion {
		c.unknown(fmt.Sprintf("Its version is %.100q, which is not known.", version))
	}
	trees := core.Table(m, fieldTrees)
	for field, width := range vectors {
		if trees != 0 {
			core.Extent(trees, field, width)
		}
	}
	for _, pair := range core.Tables(m, fieldInfo) {
		key, value := core.Text(pair, fieldKey), core.Text(pair, fieldValue)
		for _, found := range secret.Findings("catboost", fmt.Sprintf("The value of %.100q", key), value) {
			found.Place = c.file.Place(start+pair, key)
			c.report.Add(found)
		}
	}
	parts := core.Texts(m, fieldParts)
	if err := core.Err(); err != nil {
		return err
	}
	for _, name := range parts {
		if name != tablesPart {
			c.unknown(fmt.Sprintf("It has a part %.100q, whose content is not read.", name))
			return nil // what follows is scanned as content of its own
		}
		if err := c.tables(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *catboost) unknown(message string) {
	c.report.Undecided("catboost-part", c.file.Place(c.next, ""), message, "Save the model as JSON, or without text and embedding features.")
}

// tables reads the tables of categories: their number, and each as a flatbuffer.
func (c *catboost) tables(ctx context.Context) error {
	n, err := c.length()
	if err != nil {
		return err
	}
	if n > maxTables {
		return fmt.Errorf("it has %d tables of categories", n)
	}
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		table, _, err := c.part()
		if err != nil {
			return err
		}
		root := table.Root()
		table.Extent(root, fieldIndex, 1)
		table.Extent(root, fieldBlob, 1)
		if err := table.Err(); err != nil {
			return err
		}
	}
	return nil
}

// part gives the next flatbuffer, which has its length before it, and where it begins.
func (c *catboost) part() (*flatbuffer.Buffer, int64, error) {
	n, err := c.length()
	if err != nil {
		return nil, 0, err
	}
	start := c.next
	if n > c.size-start {
		return nil, 0, fmt.Errorf("a part has %d bytes where %d are left", n, c.size-start)
	}
	c.next += n
	return flatbuffer.Open(io.NewSectionReader(c.at, start, n), n), start, nil
}

// length reads a length, of four bytes or behind 0xffffffff of eight.
func (c *catboost) length() (int64, error) {
	b := make([]byte, 8)
	if _, err := c.at.ReadAt(b[:4], c.next); err != nil {
		return 0, fmt.Errorf("it ends at byte %d within a length", c.next)
	}
	c.next += 4
	n := uint64(binary.LittleEndian.Uint32(b))
	if n == 1<<32-1 {
		if _, err := c.at.ReadAt(b, c.next); err != nil {
			return 0, fmt.Errorf("it ends at byte %d within a length", c.next)
		}
		c.next += 8
		n = binary.LittleEndian.Uint64(b)
	}
	if n > maxFlatbytes {
		return 0, fmt.Errorf("a length is %d", n)
	}
	return int64(n), nil
}
