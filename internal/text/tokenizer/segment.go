package tokenizer

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// vocabulary is the numbers of tokens.
type vocabulary struct {
	ids     map[string]int64
	unknown int64 // -1 for none
	longest int   // bytes of a token
}

func newVocabulary(ids map[string]int64, unknown string) (vocabulary, error) {
	v := vocabulary{ids: ids, unknown: -1}
	if len(ids) == 0 || len(ids) > maxVocab {
		return v, fmt.Errorf("its vocabulary has %d tokens, and 1 to %d are read", len(ids), maxVocab)
	}
	for token, id := range ids {
		if id < 0 || id > math.MaxInt32 || len(token) > maxToken {
			return v, fmt.Errorf("the token %.40q has the number %d, or more than %d bytes", token, id, maxToken)
		}
		v.longest = max(v.longest, len(token))
	}
	if id, ok := ids[unknown]; ok {
		v.unknown = id
	}
	return v, nil
}

// or gives the unknown token, or says that there is none.
func (v vocabulary) or(piece string, out []int64) ([]int64, error) {
	if v.unknown < 0 {
		return nil, fmt.Errorf("%.40q is not in the tokenizer's vocabulary, which has no token for what is unknown", piece)
	}
	return append(out, v.unknown), nil
}

// wordLevel has a token for each whole piece.
type wordLevel struct{ vocabulary }

func (m wordLevel) segment(piece string, out []int64) ([]int64, error) {
	if id, ok := m.ids[piece]; ok {
		return append(out, id), nil
	}
	return m.or(piece, out)
}

// wordPiece takes the longest token that a word begins with, again and again (Wu et al. 2016, arXiv:1609.08144, section 4.1;
// greedily, as BERT does). A word of which a part is unknown is unknown as a whole.
type wordPiece struct {
	vocabulary
	prefix string // of tokens within a word
	most   int    // characters of a word
}

func (m wordPiece) segment(word string, out []int64) ([]int64, error) {
	if utf8.RuneCountInString(word) > m.most {
		return m.or(word, out)
	}
	start := len(out)
	for at := 0; at < len(word); {
		prefix := ""
		if at > 0 {
			prefix = m.prefix
		}
		end := min(len(word), at+m.longest)
		for ; end > at; end-- {
			if end < len(word) && !utf8.RuneStart(word[end]) {
				continue
			}
			if id, ok := m.ids[prefix+word[at:end]]; ok {
				out = append(out, id)
				break
			}
		}
		if end == at {
			return m.or(word, out[:start])
		}
		at = end
	}
	return out, nil
}

// bpe joins the pair of neighbours that was learnt first, again and again (Sennrich et al. 2016, arXiv:1508.07909, section 3.2).
type bpe struct {
	vocabulary
	ranks    map[[2]string]int
	prefix   string // of tokens within a word
	suffix   string // of the token at a word's end
	fuse     bool   // unknown neighbours are one
	bytes    bool   // what is unknown is written by the tokens of its bytes
	wholeToo bool   // a piece that is a token is not taken apart
}

// symbol is a part of a piece, in a list of neighbours.
type symbol struct {
	text       string
	prev, next int
}

// pair is two neighbours that can be joined.
type pair struct {
	rank, left int
	text       string // of both, to see whether they are still there
}

type pairs []pair

func (p pairs) Len() int { return len(p) }
func (p pairs) Less(i, j int) bool {
	return p[i].rank < p[j].rank || p[i].rank == p[j].rank && p[i].left < p[j].left
}
func (p pairs) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *pairs) Push(x any)   { *p = append(*p, x.(pair)) }
func (p *pairs) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}

func (m *bpe) segment(piece string, out []int64) ([]int64, error) {
	if id, ok := m.ids[piece]; ok && m.wholeToo {
		return append(out, id), nil
	}
	symbols := m.symbols(piece)
	var queue pairs
	offer := func(left int) {
		if left < 0 || symbols[left].next < 0 {
			return
		}
		a, b := symbols[left].text, symbols[symbols[left].next].text
		if rank, ok := m.ranks[[2]string{a, b}]; ok {
			heap.Push(&queue, pair{rank, left, m.joined(a, b)})
		}
	}
	for i := range symbols {
		offer(i)
	}
	for queue.Len() > 0 {
		p := heap.Pop(&queue).(pair)
		s := &symbols[p.left]
		if s.text == "" || s.next < 0 || m.joined(s.text, symbols[s.next].text) != p.text {
			continue // one of them was joined with another
		}
		gone := &symbols[s.next]
		s.text, s.next = p.text, gone.next
		gone.text = ""
		if s.next >= 0 {
			symbols[s.next].prev = p.left
		}
		offer(s.prev)
		offer(p.left)
	}
	return m.numbers(symbols, out)
}

// joined is the text of two neighbours as one token.
func (m *bpe) joined(a, b string) string { return a + strings.TrimPrefix(b, m.prefix) }

func (m *bpe) symbols(piece string) (out []symbol) {
	for i, r := range piece {
		text := string(r)
		if i > 0 {
			text = m.prefix + text
		}
		if i+utf8.RuneLen(r) == len(piece) {
			text += m.suffix
		}
		out = append(out, symbol{text, len(out) - 1, len(out) + 1})
	}
	if len(out) > 0 {
		out[len(out)-1].next = -1
	}
	return out
}

func (m *bpe) numbers(symbols []symbol, out []int64) ([]int64, error) {
	before := false // the last was unknown
	for i := 0; i >= 0 && i < len(symbols); i = symbols[i].next {
		text := symbols[i].text
		if id, ok := m.ids[text]; ok {
			out, before = append(out, id), false
			continue
		}
		if m.bytes {
			if written, ok := m.byBytes(text, out); ok {
				out, before = written, false
				continue
			}
		}
		if before && m.fuse {
			continue
		}
		before = true
		if m.unknown < 0 {
			continue // it is left out, as the library does
		}
		out = append(out, m.unknown)
	}
	return out, nil
}

// byBytes writes a text by tokens such as <0x0A>.
func (v vocabulary) byBytes(text string, out []int64) ([]int64, bool) {
	start := len(out)
	for i := range len(text) {
		id, ok := v.ids[fmt.Sprintf("<0x%02X>", text[i])]
		if !ok {
			return out[:start], false
		}
		out = append(out, id)
	}
	return out, true
}

// unigram finds the tokens with the greatest sum of scores (Kudo 2018, arXiv:1804.10959, section 3.2, by Viterbi's algorithm).
type unigram struct {
	vocabulary
	scores map[string]float64
	least  float64
	bytes  bool
}

// unknownPenalty is by how much an unknown character is worse than the worst token, as in the library.
const unknownPenalty = 10

func (m *unigram) segment(piece string, out []int64) ([]int64, error) {
	best := make([]float64, len(piece)+1)
	from := make([]int, len(piece)+1)
	for i := range best {
		best[i] = math.Inf(-1)
	}
	best[0] = 0
	for at := range piece {
		if math.IsInf(best[at], -1) {
			continue
		}
		_, one := utf8.DecodeRuneInString(piece[at:])
		known := false
		for end := at + 1; end <= min(len(piece), at+m.longest); end++ {
			score, ok := m.scores[piece[at:end]]
			if !ok {
				continue
			}
			known = known || end == at+one
			if s := best[at] + score; s > best[end] {
				best[end], from[end] = s, at
			}
		}
		if s := best[at] + m.least - unknownPenalty; !known && s > best[at+one] {
			best[at+one], from[at+one] = s, at
		}
	}
	var cuts []int
	for at := len(piece); at > 0; at = from[at] {
		cuts = append(cuts, at)
	}
	return m.numbers(piece, cuts, out)
}

// numbers writes the tokens between cuts, which come last first. Unknown neighbours are one.
func (m *unigram) numbers(piece string, cuts []int, out []int64) (_ []int64, err error) {
	start, before := 0, false
	for i := len(cuts) - 1; i >= 0; i-- {
		part := piece[start:cuts[i]]
		start = cuts[i]
		if id, ok := m.ids[part]; ok {
			out, before = append(out, id), false
			continue
		}
		if m.bytes {
			if written, ok := m.byBytes(part, out); ok {
				out, before = written, false
				continue
			}
		}
		if !before {
			if out, err = m.or(part, out); err != nil {
				return nil, err
			}
		}
		before = true
	}
	return out, nil
}

var errNoModel = errors.New("it has no model: WordPiece, BPE, Unigram or WordLevel")
