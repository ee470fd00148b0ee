package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Parquet is read here, and not by a library: parquet-go 0.32 allocates what a list,
// page or run claims and unpacks pages without a bound, so that a file of a few bytes
// ends the process. Only the codecs are libraries'. The format's specification is
// github.com/apache/parquet-format (README.md, Encodings.md, parquet.thrift).

const (
	maxFooter = 64 << 20
	maxPage   = 64 << 20  // bytes, compressed or not
	maxPages  = 512 << 20 // of all columns' pages and dictionaries at a time

	// cellsPerByte bounds what a file's size lets it claim. Runs of equal values take
	// almost no space, but real tables are far from it.
	cellsPerByte = 1024
)

// Physical types.
const (
	parquetBoolean = iota
	parquetInt32
	parquetInt64
	parquetInt96
	parquetFloat
	parquetDouble
	parquetBytes
	parquetFixed
)

// parquetFormat is a Parquet file. Columns within groups have a path as name, such
// as "address.city"; lists are not supported.
type parquetFormat struct {
	input  input
	leaves []leaf
	groups []rowGroup
	rows   int64
}

// leaf is a column that holds values.
type leaf struct {
	name        string
	kind        int64 // the physical type
	size        int   // of a fixed type, in bytes; 0 for texts and booleans
	unsigned    bool
	scale       int    // of a decimal
	definition  uint32 // the level at which a value is there; 0 where it always is
	unsupported string
}

type rowGroup struct {
	rows   int64
	chunks []chunk
}

// chunk is one column's pages in a row group.
type chunk struct{ kind, codec, values, start, size int64 }

func openParquet(ctx context.Context, src input) (format, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(src.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &parquetFormat{input: src}
	var tail [8]byte
	if src.size < 12 {
		return nil, errors.New("is a Parquet file that is cut short")
	}
	if _, err := f.ReadAt(tail[:], src.size-8); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != "PAR1" || n > src.size-12 || n > maxFooter {
		return nil, errors.New("is a Parquet file that is cut short or damaged: its end is not a footer")
	}
	if err := p.footer(newThriftReader(io.NewSectionReader(f, src.size-8-n, n), n)); err != nil {
		return nil, err
	}
	return p, p.check()
}

// check judges what the footer claims.
func (p *parquetFormat) check() error {
	names := make([]string, len(p.leaves))
	for i := range p.leaves {
		names[i] = p.leaves[i].name
	}
	if name, twice := repeated(names); twice {
		return fmt.Errorf("has two columns named %s", quote(name))
	}
	for g, group := range p.groups {
		if len(group.chunks) != len(p.leaves) || group.rows < 0 || group.rows > math.MaxInt64-p.rows {
			return fmt.Errorf("is damaged: row group %d does not have the schema's %d columns", g+1, len(p.leaves))
		}
		p.rows += group.rows
		for i, c := range group.chunks {
			l := p.leaves[i]
			if l.unsupported != "" {
				continue
			}
			if c.start < 4 || c.size < 0 || c.start > p.input.size-c.size || c.values != group.rows || c.kind != l.kind {
				return fmt.Errorf("is damaged: the column %s of row group %d is not where or what it should be", quote(l.name), g+1)
			}
		}
	}
	if len(p.leaves) == 0 || p.rows > p.input.size*cellsPerByte/int64(len(p.leaves)) {
		return fmt.Errorf("claims %d rows of %d columns, which its %d bytes cannot hold", p.rows, len(p.leaves), p.input.size)
	}
	return nil
}

// footer reads FileMetaData.
func (p *parquetFormat) footer(t *thriftReader) error {
	var schema []schemaElement
	err := t.fields(func(id int16, kind byte) error {
		switch {
		case id == 2 && kind == thriftList:
			return t.list(func(byte) error {
				if len(schema) > 2*maxColumns {
					return fmt.Errorf("has more than %d columns", maxColumns)
				}
				e, err := readSchemaElement(t)
				schema = append(schema, e)
				return err
			})
		case id == 4 && kind == thriftList:
			return t.list(func(byte) error {
				g, err := readRowGroup(t)
				p.groups = append(p.groups, g)
				return err
			})
		}
		return t.skip(kind)
	})
	if err != nil {
		return err
	}
	if len(schema) == 0 {
		return errThrift
	}
	rest := schema[1:]
	for range schema[0].children {
		if rest, err = p.flatten(rest, "", 0, false, 0); err != nil {
			return err
		}
	}
	return nil
}

// schemaElement is a node of the schema, which is stored depth first.
type schemaElement struct {
	name                                        string
	kind, size, repetition, children, converted int64
	scale                                       int64
	half                                        bool
}

func readSchemaElement(t *thriftReader) (schemaElement, error) {
	e := schemaElement{kind: -1, converted: -1}
	numbers := t.integers(map[int16]*int64{1: &e.kind, 2: &e.size, 3: &e.repetition, 5: &e.children, 6: &e.converted, 7: &e.scale})
	return e, t.fields(func(id int16, kind byte) error {
		var err error
		switch {
		case id == 4 && kind == thriftBinary:
			e.name, err = t.text()
		case id == 10 && kind == thriftStruct:
			err = t.fields(func(id int16, kind byte) error { return e.logical(t, id, kind) })
		default:
			err = numbers(id, kind)
		}
		return err
	})
}

// Converted types, by which logical types are known too.
const (
	convertedDecimal = 5
	convertedUint8   = 11
	convertedUint64  = 14
)

// logical reads one member of the LogicalType union.
func (e *schemaElement) logical(t *thriftReader, id int16, kind byte) error {
	switch {
	case id == 5 && kind == thriftStruct:
		e.converted = convertedDecimal
		return t.fields(t.integers(map[int16]*int64{1: &e.scale}))
	case id == 10 && kind == thriftStruct:
		return t.fields(func(id int16, kind byte) error {
			if id == 2 && kind == thriftFalse {
				e.converted = convertedUint64
			}
			return t.skip(kind)
		})
	case id == 15:
		e.half = true
	}
	return t.skip(kind)
}

// flatten turns the first node of the schema into leaves, and gives the nodes behind it.
func (p *parquetFormat) flatten(nodes []schemaElement, prefix string, definition uint32, list bool, depth int) ([]schemaElement, error) {
	if len(nodes) == 0 || depth > maxThriftDepth || len(p.leaves) >= maxColumns {
		return nil, errThrift
	}
	e, rest := nodes[0], nodes[1:]
	if e.repetition == 1 {
		definition++
	}
	list = list || e.repetition == 2
	if len(prefix) > 1<<12 {
		return nil, errThrift
	}
	if e.kind >= 0 && e.children == 0 {
		p.leaves = append(p.leaves, e.leaf(prefix+e.name, definition, list))
		return rest, nil
	}
	var err error
	for range e.children {
		if rest, err = p.flatten(rest, prefix+e.name+".", definition, list, depth+1); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func (e *schemaElement) leaf(name string, definition uint32, list bool) leaf {
	l := leaf{name: name, kind: e.kind, definition: definition}
	decimal := e.converted == convertedDecimal
	l.unsigned = e.converted >= convertedUint8 && e.converted <= convertedUint64
	if decimal {
		l.scale = int(min(max(e.scale, 0), 100))
	}
	switch e.kind {
	case parquetInt32, parquetFloat:
		l.size = 4
	case parquetInt64, parquetDouble:
		l.size = 8
	case parquetFixed:
		if l.size = 2; !e.half || e.size != 2 {
			l.unsupported = "it is binary"
		}
	case parquetBytes:
		if decimal {
			l.unsupported = "it holds decimals in binary"
		}
	case parquetInt96:
		l.unsupported = "it holds times as INT96"
	case parquetBoolean:
	default:
		l.unsupported = "its type is unknown"
	}
	if list {
		l.unsupported = "it is a list"
	}
	return l
}

func readRowGroup(t *thriftReader) (rowGroup, error) {
	var g rowGroup
	numbers := t.integers(map[int16]*int64{3: &g.rows})
	return g, t.fields(func(id int16, kind byte) error {
		if id != 1 || kind != thriftList {
			return numbers(id, kind)
		}
		return t.list(func(byte) error {
			c, err := readChunk(t)
			g.chunks = append(g.chunks, c)
			return err
		})
	})
}

func readChunk(t *thriftReader) (chunk, error) {
	var c chunk
	var data, dictionary int64
	numbers := t.integers(map[int16]*int64{1: &c.kind, 4: &c.codec, 5: &c.values, 7: &c.size, 9: &data, 11: &dictionary})
	err := t.fields(func(id int16, kind byte) error {
		if id == 1 && kind == thriftBinary {
			return errors.New("keeps its columns in other files, which is not supported")
		}
		if id == 3 && kind == thriftStruct {
			return t.fields(numbers)
		}
		return t.skip(kind)
	})
	if c.start = data; dictionary > 0 && dictionary < data {
		c.start = dictionary
	}
	return c, err
}

func (p *parquetFormat) files() ([]string, error) { return []string{p.input.path}, nil }

func (p *parquetFormat) layout() layout {
	l := layout{unsupported: map[string]string{}, rows: p.rows}
	for i := range p.leaves {
		l.columns = append(l.columns, p.leaves[i].name)
		if why := p.leaves[i].unsupported; why != "" {
			l.unsupported[p.leaves[i].name] = why
		}
	}
	return l
}

func (p *parquetFormat) records(ctx context.Context, visit func(*record) error) error {
	f, err := os.Open(p.input.path)
	if err != nil {
		return err
	}
	defer f.Close()
	u := &unpacker{budget: maxPages}
	defer u.close()
	rec := record{file: p.input.path, cells: make([]cell, len(p.leaves))}
	for g, group := range p.groups {
		readers := make([]*columnReader, len(p.leaves))
		u.budget = maxPages
		for i, c := range group.chunks {
			if p.leaves[i].unsupported == "" {
				section := io.NewSectionReader(f, c.start, c.size)
				readers[i] = &columnReader{leaf: &p.leaves[i], codec: c.codec, section: section, unpacker: u}
			}
		}
		for range group.rows {
			rec.row++
			for i, r := range readers {
				if r == nil {
					continue
				}
				if rec.cells[i], err = r.next(); err != nil {
					return fmt.Errorf("the column %s of row group %d cannot be read at row %d: %w", quote(p.leaves[i].name), g+1, rec.row, err)
				}
			}
			if err := visit(&rec); err != nil {
				return err
			}
		}
	}
	return nil
}
