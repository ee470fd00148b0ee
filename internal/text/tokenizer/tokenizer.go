// Package tokenizer makes the numbers of tokens of text that models read. It reads tokenizers as Hugging Face's
// tokenizers library writes them (tokenizer.json: WordPiece, BPE, Unigram and WordLevel with their normalisers,
// pre-tokenisers and templates) and vocabularies of WordPiece (vocab.txt), or asks an endpoint. A file that uses what is not
// known here is refused by name, as another segmentation would be an attack on another model.
//
// Files are not trusted: their size and that of texts are bounded, and the time for a text is at most proportional to its length
// times that of the longest token, but for a logarithm.
package tokenizer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Tokenizer makes tokens of texts. Implementations are safe for concurrent use.
type Tokenizer interface {
	// Encode gives the numbers of each text's tokens, with those that the model wants before and after them.
	Encode(ctx context.Context, texts []string) ([][]int64, error)
	// Pad is the number of the token that fills up, 0 where none is known.
	Pad() int64
	// Length is how many tokens a text is cut to; 0 where the tokenizer does not say.
	Length() int
}

// Limits of what is read.
const (
	maxFile  = 64 << 20
	maxVocab = 1 << 21
	maxToken = 1 << 10 // bytes of a token
	maxText  = 1 << 20 // bytes of a text
	maxGrown = 1 << 23 // the same, normalised
	maxSteps = 8       // of cutting
)

// Open opens a tokenizer: a tokenizer.json, a vocabulary of a token a line (vocab.txt), or a YAML file of an endpoint.
func Open(ctx context.Context, path string) (Tokenizer, error) {
	if ext := filepath.Ext(path); ext == ".yaml" || ext == ".yml" {
		return openEndpoint(ctx, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	t, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Decode reads the content of a tokenizer.json or a vocab.txt.
func Decode(data []byte) (*File, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MB, which no tokenizer needs", maxFile>>20)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("it is not text in UTF-8")
	}
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return decodeJSON(data)
	}
	return decodeVocabulary(string(data))
}

// File is a tokenizer that was read from a file.
type File struct {
	normalize []normalizer
	split     []splitter
	model     segmenter
	added     []addedToken // the longest first
	before    []int64      // tokens that a text begins with
	after     []int64
	length    int // 0 for any
	pad       int64
}

// normalizer rewrites text.
type normalizer func(string) string

// splitter cuts a piece of text into pieces, which are cut no more across.
type splitter func(pieces []string) []string

// segmenter makes tokens of a piece.
type segmenter interface {
	segment(piece string, out []int64) ([]int64, error)
}

// addedToken is one that is found in a text as it is.
type addedToken struct {
	content                string
	id                     int64
	left, right, rewritten bool // it takes the space beside it; it is looked for in normalised text
}

var _ Tokenizer = (*File)(nil)

// Pad is the number of the token that fills up.
func (f *File) Pad() int64 { return f.pad }

// Length is how many tokens a text is cut to.
func (f *File) Length() int { return f.length }

// Cut gives the tokenizer with texts cut to so many tokens, those before and after them included.
func (f *File) Cut(length int) *File {
	c := *f
	c.length = max(length, len(f.before)+len(f.after)+1)
	return &c
}

// Encode gives the tokens of texts.
func (f *File) Encode(ctx context.Context, texts []string) ([][]int64, error) {
	out := make([][]int64, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ids, err := f.encode(text)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i+1, err)
		}
		out[i] = ids
	}
	return out, nil
}

func (f *File) encode(text string) ([]int64, error) {
	switch {
	case len(text) > maxText:
		return nil, fmt.Errorf("it is longer than %d kB", maxText>>10)
	case !utf8.ValidString(text):
		return nil, errors.New("it is not text in UTF-8")
	}
	ids, err := f.parts(text, false, nil)
	if err != nil {
		return nil, err
	}
	if most := f.length - len(f.before) - len(f.after); f.length > 0 && len(ids) > most {
		ids = ids[:most]
	}
	out := append([]int64{}, f.before...)
	return append(append(out, ids...), f.after...), nil
}

// parts takes out the added tokens, first of the text as it is, then of the normalised text, and segments the rest.
func (f *File) parts(text string, normalized bool, ids []int64) (_ []int64, err error) {
	rest := func(part string) error {
		if part == "" {
			return nil
		}
		if normalized {
			ids, err = f.segment(part, ids)
			return err
		}
		for _, n := range f.normalize {
			if part = n(part); len(part) > maxGrown {
				return fmt.Errorf("the tokenizer's normalisation makes more than %d kB of it", maxGrown>>10)
			}
		}
		ids, err = f.parts(part, true, ids)
		return err
	}
	from := 0
	for at := 0; at < len(text); {
		a := f.addedAt(text[at:], normalized)
		if a == nil {
			at++
			continue
		}
		part := text[from:at]
		if a.left {
			part = strings.TrimRight(part, " \t\r\n")
		}
		if err := rest(part); err != nil {
			return nil, err
		}
		ids = append(ids, a.id)
		at += len(a.content)
		if a.right {
			at = len(text) - len(strings.TrimLeft(text[at:], " \t\r\n"))
		}
		from = at
	}
	return ids, rest(text[from:])
}

// addedAt gives the added token that a text begins with.
func (f *File) addedAt(text string, normalized bool) *addedToken {
	for i := range f.added {
		if a := &f.added[i]; a.rewritten == normalized && strings.HasPrefix(text, a.content) {
			return a
		}
	}
	return nil
}

func (f *File) segment(text string, ids []int64) (_ []int64, err error) {
	pieces := []string{text}
	for _, s := range f.split {
		pieces = s(pieces)
	}
	for _, p := range pieces {
		if p == "" {
			continue
		}
		if ids, err = f.model.segment(p, ids); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
