package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

var errPage = errors.New("its pages are damaged")

// columnReader reads the values of a column chunk one by one. It holds one page at a
// time, and the chunk's dictionary.
type columnReader struct {
	leaf     *leaf
	codec    int64
	section  *io.SectionReader
	at       int64 // where the next page begins in the section
	unpacker *unpacker

	dictionary  []cell
	left        int64 // values of the page
	held        int64 // bytes of the page
	definitions *runs // nil where every value is there
	values      values
}

// values reads the values of a page.
type values interface{ next() (cell, error) }

func (c *columnReader) next() (cell, error) {
	for c.left == 0 {
		if err := c.page(); err != nil {
			return cell{}, err
		}
	}
	c.left--
	if c.definitions != nil {
		level, err := c.definitions.next()
		if err != nil || level < c.leaf.definition {
			return cell{}, err
		}
	}
	return c.values.next()
}

// pageHeader is what a page says of itself.
type pageHeader struct {
	kind, unpacked, packed               int64
	values, encoding, levelEncoding      int64
	definitionLength, repetitionLength   int64
	plain                                bool // the values of a page of version 2 are not compressed
	dictionaryValues, dictionaryEncoding int64
	dataValues, dataEncoding, v2Values   int64
	v2Encoding                           int64
}

// Kinds of pages.
const (
	dataPage       = 0
	indexPage      = 1
	dictionaryPage = 2
	dataPageV2     = 3
)

func readPageHeader(t *thriftReader) (pageHeader, error) {
	h := pageHeader{levelEncoding: encodingRLE}
	numbers := t.integers(map[int16]*int64{1: &h.kind, 2: &h.unpacked, 3: &h.packed})
	data := t.integers(map[int16]*int64{1: &h.dataValues, 2: &h.dataEncoding, 3: &h.levelEncoding})
	dictionary := t.integers(map[int16]*int64{1: &h.dictionaryValues, 2: &h.dictionaryEncoding})
	v2 := t.integers(map[int16]*int64{1: &h.v2Values, 4: &h.v2Encoding, 5: &h.definitionLength, 6: &h.repetitionLength})
	err := t.fields(func(id int16, kind byte) error {
		switch {
		case kind != thriftStruct:
			return numbers(id, kind)
		case id == 5:
			return t.fields(data)
		case id == 7:
			return t.fields(dictionary)
		case id == 8:
			return t.fields(func(id int16, kind byte) error {
				h.plain = h.plain || id == 7 && kind == thriftFalse
				return v2(id, kind)
			})
		}
		return t.skip(kind)
	})
	switch h.kind {
	case dataPage:
		h.values, h.encoding = h.dataValues, h.dataEncoding
	case dictionaryPage:
		h.values, h.encoding = h.dictionaryValues, h.dictionaryEncoding
	case dataPageV2:
		h.values, h.encoding = h.v2Values, h.v2Encoding
	}
	if err == nil && (h.packed < 0 || h.packed > maxPage || h.unpacked < 0 || h.unpacked > maxPage || h.values < 0 ||
		h.definitionLength < 0 || h.repetitionLength < 0 || h.definitionLength+h.repetitionLength > min(h.packed, h.unpacked)) {
		err = fmt.Errorf("%w: a page claims %d bytes, or its parts do not fit", errPage, h.unpacked)
	}
	return h, err
}

// page reads the next page: a dictionary, values, or an index to be passed over.
func (c *columnReader) page() error {
	rest := c.section.Size() - c.at
	if rest <= 0 {
		return fmt.Errorf("%w: they end too early", errPage)
	}
	t := newThriftReader(io.NewSectionReader(c.section, c.at, rest), rest)
	h, err := readPageHeader(t)
	if err != nil {
		return err
	}
	start := c.at + rest - t.left
	if h.packed > c.section.Size()-start {
		return fmt.Errorf("%w: one is longer than its column", errPage)
	}
	c.at = start + h.packed
	if h.kind == indexPage {
		return nil
	}
	packed := make([]byte, h.packed)
	if _, err := c.section.ReadAt(packed, start); err != nil && err != io.EOF {
		return err
	}
	c.unpacker.budget += c.held
	c.held = 0
	if h.kind == dictionaryPage {
		return c.readDictionary(h, packed)
	}
	levels, content, err := c.unpack(h, packed)
	if err != nil {
		return err
	}
	c.held = int64(len(content) + len(levels))
	if c.unpacker.budget -= c.held; c.unpacker.budget < 0 {
		return fmt.Errorf("the pages of its columns take more than %d MB at a time", maxPages>>20)
	}
	if c.definitions = nil; c.leaf.definition > 0 {
		c.definitions = &runs{data: levels, width: bitsFor(c.leaf.definition)}
	}
	c.left = h.values
	c.values, err = c.decoder(h.encoding, content)
	return err
}

// unpack gives a data page's definition levels and values.
func (c *columnReader) unpack(h pageHeader, packed []byte) (levels, content []byte, err error) {
	switch h.kind {
	case dataPage:
		if content, err = c.unpacker.unpack(c.codec, packed, h.unpacked); err != nil || c.leaf.definition == 0 {
			return nil, content, err
		}
		if h.levelEncoding != encodingRLE {
			return nil, nil, errors.New("its levels are in the deprecated encoding BIT_PACKED: write it anew with a current library")
		}
		return prefixed(content)
	case dataPageV2:
		levels = packed[h.repetitionLength : h.repetitionLength+h.definitionLength]
		content = packed[h.repetitionLength+h.definitionLength:]
		if !h.plain {
			content, err = c.unpacker.unpack(c.codec, content, h.unpacked-h.repetitionLength-h.definitionLength)
		}
		return levels, content, err
	}
	return nil, nil, fmt.Errorf("%w: one is of the unknown kind %d", errPage, h.kind)
}

// prefixed splits data that begin with their length.
func prefixed(data []byte) (first, rest []byte, err error) {
	if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
		return nil, nil, fmt.Errorf("%w: a length is beyond the page", errPage)
	}
	n := 4 + int(binary.LittleEndian.Uint32(data))
	return data[4:n], data[n:], nil
}

func (c *columnReader) readDictionary(h pageHeader, packed []byte) error {
	content, err := c.unpacker.unpack(c.codec, packed, h.unpacked)
	if err != nil {
		return err
	}
	if c.dictionary != nil || h.encoding != encodingPlain && h.encoding != encodingPlainDictionary {
		return fmt.Errorf("%w: its dictionary is in an unknown encoding, or the second one", errPage)
	}
	const cellSize = 40
	if c.unpacker.budget -= h.values*cellSize + int64(len(content)); c.unpacker.budget < 0 || h.values > 8*int64(len(content)) {
		return fmt.Errorf("%w: its dictionary claims %d values", errPage, h.values)
	}
	c.dictionary = make([]cell, h.values)
	plain := &plainValues{leaf: c.leaf, data: content}
	for i := range c.dictionary {
		if c.dictionary[i], err = plain.next(); err != nil {
			return err
		}
	}
	return nil
}

// unpacker decompresses pages, never to more than they claim.
type unpacker struct {
	budget int64 // bytes that pages and dictionaries may still take
	zstd   *zstd.Decoder
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// Compression codecs.
const (
	codecNone   = 0
	codecSnappy = 1
	codecGzip   = 2
	codecLZO    = 3
	codecBrotli = 4
	codecLZ4    = 5
	codecZstd   = 6
	codecLZ4Raw = 7
)

func (u *unpacker) unpack(codec int64, packed []byte, size int64) ([]byte, error) {
	if codec == codecNone {
		return packed, nil
	}
	if size == 0 && len(packed) == 0 {
		return nil, nil
	}
	var stream io.Reader
	switch codec {
	case codecSnappy:
		if n, err := snappy.DecodedLen(packed); err != nil || int64(n) != size {
			return nil, fmt.Errorf("%w: one is not the Snappy data it claims to be", errPage)
		}
		return snappy.Decode(nil, packed)
	case codecLZ4Raw:
		content := make([]byte, size)
		if n, err := lz4.UncompressBlock(packed, content); err != nil || int64(n) != size {
			return nil, fmt.Errorf("%w: one is not the LZ4 data it claims to be", errPage)
		}
		return content, nil
	case codecGzip:
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errPage, err)
		}
		stream = r
	case codecBrotli:
		stream = brotli.NewReader(bytes.NewReader(packed))
	case codecZstd:
		if err := u.resetZstd(packed); err != nil {
			return nil, err
		}
		stream = u.zstd
	case codecLZO, codecLZ4:
		return nil, errors.New("it is compressed with LZO or the deprecated LZ4: write it with Snappy, Zstandard, LZ4_RAW, GZIP or Brotli")
	default:
		return nil, fmt.Errorf("it is compressed with the unknown codec %d", codec)
	}
	var content bytes.Buffer // grows with what is there
	n, err := io.Copy(&content, io.LimitReader(stream, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("it is not the %d bytes it claims", size)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: one does not decompress: %w", errPage, err)
	}
	return content.Bytes(), nil
}

func (u *unpacker) resetZstd(packed []byte) error {
	if u.zstd != nil {
		return u.zstd.Reset(bytes.NewReader(packed))
	}
	var err error
	u.zstd, err = zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(2*maxPage), zstd.WithDecoderMaxWindow(maxPage), zstd.WithDecoderLowmem(true))
	return err
}
