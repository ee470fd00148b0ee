package substitution

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Table is a list of synonyms for each word.
type Table map[string][]string

// Of gives a word's synonyms.
func (t Table) Of(word string) []string { return t[word] }

// Limits of what is read.
const (
	maxTable   = 64 << 20 // bytes
	maxNumbers = 1 << 27  // of all embeddings together
	maxLine    = 1 << 20
)

// ReadTable reads synonyms: a line "word: one, another" for each word, or a JSON object of lists. Words are taken in lower
// case; synonyms of several words, which could not stand in place of one, are left out.
func ReadTable(r io.Reader) (Table, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxTable+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxTable {
		return nil, fmt.Errorf("the synonyms are larger than %d MB: give fewer", maxTable>>20)
	}
	lists := map[string][]string{}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		if err := json.Unmarshal(data, &lists); err != nil {
			return nil, fmt.Errorf("the synonyms are no JSON object of lists of words: %w", err)
		}
	} else if err := readLines(string(data), lists); err != nil {
		return nil, err
	}
	out := Table{}
	words := make([]string, 0, len(lists))
	for word := range lists {
		words = append(words, word)
	}
	slices.Sort(words) // so that two spellings of a word are joined in one order
	for _, word := range words {
		key := strings.ToLower(strings.TrimSpace(word))
		for _, s := range lists[word] {
			s = strings.TrimSpace(s)
			if single(s) && strings.ToLower(s) != key && !slices.Contains(out[key], s) {
				out[key] = append(out[key], s)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there are no synonyms in it: write a line such as \"good: fine, decent\" for each word")
	}
	return out, nil
}

func readLines(text string, lists map[string][]string) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("line %d has no colon: write it as \"word: one, another\"", number)
		}
		lists[word] = append(lists[word], strings.Split(rest, ",")...)
	}
	return nil
}

// Embeddings takes words for synonyms whose vectors point the same way (as TextFooler does: Jin et al. 2020, arXiv:1907.11932,
// section 2, step 2).
type Embeddings struct {
	words   []string
	place   map[string]int
	vectors []float32 // of length 1 each
	width   int
	cosine  float64
	most    int

	mu    sync.Mutex
	known map[string][]string
}

// ReadEmbeddings reads vectors as GloVe and word2vec write them in text: a word and its numbers a line; a first line of two
// numbers is passed over. A word's synonyms are those whose cosine with it is at least a number, at most so many, the nearest first.
func ReadEmbeddings(r io.Reader, cosine float64, most int) (*Embeddings, error) {
	if !(cosine > 0 && cosine <= 1) || most < 1 {
		return nil, fmt.Errorf("synonyms of a cosine of %g, at most %d: give above 0 and at most 1, and at least one", cosine, most)
	}
	e := &Embeddings{place: map[string]int{}, cosine: cosine, most: most, known: map[string][]string{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || number == 1 && len(fields) == 2 {
			continue
		}
		if err := e.add(fields); err != nil {
			return nil, fmt.Errorf("line %d of the embeddings %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("the embeddings cannot be read: %w", err)
	}
	if len(e.words) == 0 {
		return nil, errors.New("the embeddings have no words")
	}
	return e, nil
}

func (e *Embeddings) add(fields []string) error {
	word, numbers := fields[0], fields[1:]
	if e.width == 0 {
		e.width = len(numbers)
	}
	if len(numbers) != e.width || e.width == 0 {
		return fmt.Errorf("has %d numbers, and the first has %d", len(numbers), e.width)
	}
	if len(e.vectors)+e.width > maxNumbers {
		return fmt.Errorf("is beyond %d numbers in all: give the embeddings of fewer words", maxNumbers)
	}
	if _, twice := e.place[word]; twice || !single(word) {
		return nil
	}
	length, start := 0.0, len(e.vectors)
	for _, text := range numbers {
		v, err := strconv.ParseFloat(text, 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("has %.40q where a number is due", text)
		}
		length += v * v
		e.vectors = append(e.vectors, float32(v))
	}
	if length == 0 || math.IsInf(length, 0) {
		e.vectors = e.vectors[:start]
		return nil
	}
	for i := start; i < len(e.vectors); i++ {
		e.vectors[i] = float32(float64(e.vectors[i]) / math.Sqrt(length))
	}
	e.place[word] = len(e.words)
	e.words = append(e.words, strings.Clone(word))
	return nil
}

// Of gives the words nearest to a word.
func (e *Embeddings) Of(word string) []string {
	at, ok := e.place[word]
	if !ok {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if list, ok := e.known[word]; ok {
		return list
	}
	type near struct {
		word   string
		cosine float64
	}
	var all []near
	own := e.vectors[at*e.width : (at+1)*e.width]
	for i, w := range e.words {
		if i == at || strings.EqualFold(w, word) {
			continue
		}
		sum := 0.0
		for k, v := range e.vectors[i*e.width : (i+1)*e.width] {
			sum += float64(v) * float64(own[k])
		}
		if sum >= e.cosine {
			all = append(all, near{w, sum})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(b.cosine, a.cosine) })
	list := []string{}
	for _, n := range all[:min(len(all), e.most)] {
		list = append(list, n.word)
	}
	e.known[word] = list
	return list
}

// Both joins the synonyms of several sources.
type Both []Synonyms

// Of gives the synonyms of all, each once.
func (b Both) Of(word string) (out []string) {
	for _, s := range b {
		for _, w := range s.Of(word) {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}
