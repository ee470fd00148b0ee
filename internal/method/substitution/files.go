package substitution

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
)

// Files say by which files an attacker's budget is read. An empty name is none.
type Files struct {
	Synonyms   string  // see ReadTable
	Embeddings string  // see ReadEmbeddings
	Cosine     float64 // of near vectors, at least; 0 for 0.7
	Neighbours int     // that a word has at most; 0 for 10
	Protect    string  // words that stay, apart by white space
}

// The usual nearness of vectors whose words are synonyms.
const (
	usualCosine     = 0.7
	usualNeighbours = 10
	maxProtected    = 16 << 20 // bytes
)

// Budget reads the files. Errors name the one that cannot be used.
func (f Files) Budget() (*Budget, error) {
	b := &Budget{}
	var sources Both
	if f.Synonyms != "" {
		table, err := readFile(f.Synonyms, ReadTable)
		if err != nil {
			return nil, err
		}
		sources = append(sources, table)
	}
	if f.Embeddings != "" {
		near, err := readFile(f.Embeddings, func(r io.Reader) (*Embeddings, error) {
			return ReadEmbeddings(r, cmp.Or(f.Cosine, usualCosine), cmp.Or(f.Neighbours, usualNeighbours))
		})
		if err != nil {
			return nil, err
		}
		sources = append(sources, near)
	}
	if len(sources) > 0 {
		b.Synonyms = sources
	}
	if f.Protect != "" {
		words, err := readFile(f.Protect, func(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxProtected)) })
		if err != nil {
			return nil, err
		}
		b.Protect = strings.Fields(string(words))
	}
	return b, nil
}

// readFile has a file read, and names it in errors.
func readFile[T any](path string, read func(io.Reader) (T, error)) (out T, err error) {
	f, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer f.Close()
	if out, err = read(f); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return out, err
}
