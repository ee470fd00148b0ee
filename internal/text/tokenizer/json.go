package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// component is a part of a tokenizer.json, of which the type tells which members count.
type component struct {
	Type string `json:"type"`

	// Of sequences.
	Normalizers   []component `json:"normalizers"`
	Pretokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`

	// Of normalisers.
	CleanText          *bool           `json:"clean_text"`
	HandleChineseChars *bool           `json:"handle_chinese_chars"`
	StripAccents       *bool           `json:"strip_accents"`
	Lowercase          *bool           `json:"lowercase"`
	StripLeft          bool            `json:"strip_left"`
	StripRight         bool            `json:"strip_right"`
	Prepend            string          `json:"prepend"`
	Pattern            json.RawMessage `json:"pattern"`
	Content            string          `json:"content"`

	// Of pre-tokenisers.
	AddPrefixSpace   *bool  `json:"add_prefix_space"`
	UseRegex         *bool  `json:"use_regex"`
	Replacement      string `json:"replacement"`
	PrependScheme    string `json:"prepend_scheme"`
	Split            *bool  `json:"split"`
	Behavior         string `json:"behavior"`
	IndividualDigits bool   `json:"individual_digits"`

	// Of post-processors.
	Single        []templatePart          `json:"single"`
	SpecialTokens map[string]specialToken `json:"special_tokens"`
	Sep           tokenAndID              `json:"sep"`
	Cls           tokenAndID              `json:"cls"`
}

type templatePart struct {
	Sequence *struct {
		ID string `json:"id"`
	}
	SpecialToken *struct {
		ID string `json:"id"`
	}
}

type specialToken struct {
	IDs []int64 `json:"ids"`
}

// tokenAndID is written as ["[SEP]", 102].
type tokenAndID struct{ id int64 }

func (t *tokenAndID) UnmarshalJSON(data []byte) error {
	var token string
	return json.Unmarshal(data, &[]any{&token, &t.id})
}

// modelJSON is the model of a tokenizer.json.
type modelJSON struct {
	Type                    string          `json:"type"`
	Vocab                   json.RawMessage `json:"vocab"`
	UnkToken                string          `json:"unk_token"`
	UnkID                   *int64          `json:"unk_id"`
	ContinuingSubwordPrefix *string         `json:"continuing_subword_prefix"`
	MaxInputCharsPerWord    *int            `json:"max_input_chars_per_word"`
	EndOfWordSuffix         string          `json:"end_of_word_suffix"`
	Merges                  json.RawMessage `json:"merges"`
	FuseUnk                 bool            `json:"fuse_unk"`
	ByteFallback            bool            `json:"byte_fallback"`
	IgnoreMerges            bool            `json:"ignore_merges"`
	Dropout                 float64         `json:"dropout"`
}

// document is a tokenizer.json.
type document struct {
	Truncation *struct {
		MaxLength int    `json:"max_length"`
		Direction string `json:"direction"`
	} `json:"truncation"`
	Padding *struct {
		PadID int64 `json:"pad_id"`
	} `json:"padding"`
	AddedTokens []struct {
		ID         int64  `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
	} `json:"added_tokens"`
	Normalizer    *component `json:"normalizer"`
	PreTokenizer  *component `json:"pre_tokenizer"`
	PostProcessor *component `json:"post_processor"`
	Model         *modelJSON `json:"model"`
}

const maxAdded = 1 << 12

func decodeJSON(data []byte) (*File, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("it is no tokenizer.json: %w", err)
	}
	f := &File{}
	if d.Model == nil {
		return nil, errNoModel
	}
	var err error
	if f.model, err = d.Model.segmenter(); err != nil {
		return nil, err
	}
	if err := f.addNormalizer(d.Normalizer); err != nil {
		return nil, err
	}
	if err := f.addSplitter(d.PreTokenizer); err != nil {
		return nil, err
	}
	if len(f.split) > maxSteps || len(f.normalize) > 4*maxSteps {
		return nil, fmt.Errorf("it normalises in %d steps and cuts in %d, more than any tokenizer needs", len(f.normalize), len(f.split))
	}
	if err := f.addTemplate(d.PostProcessor); err != nil {
		return nil, err
	}
	return f, f.addRest(&d)
}

func (f *File) addRest(d *document) error {
	if len(d.AddedTokens) > maxAdded {
		return fmt.Errorf("it has %d added tokens, and at most %d are read", len(d.AddedTokens), maxAdded)
	}
	for _, a := range d.AddedTokens {
		if a.Content == "" || len(a.Content) > maxToken || a.ID < 0 || a.ID > math.MaxInt32 || a.SingleWord {
			return fmt.Errorf("the added token %.40q is empty, too long, for single words, or has the number %d: such are not known here", a.Content, a.ID)
		}
		f.added = append(f.added, addedToken{a.Content, a.ID, a.LStrip, a.RStrip, a.Normalized})
		if strings.EqualFold(strings.Trim(a.Content, "[]<>|"), "pad") {
			f.pad = a.ID
		}
	}
	slices.SortStableFunc(f.added, func(a, b addedToken) int { return len(b.content) - len(a.content) })
	if d.Padding != nil && d.Padding.PadID >= 0 && d.Padding.PadID <= math.MaxInt32 {
		f.pad = d.Padding.PadID
	}
	if t := d.Truncation; t != nil {
		if t.MaxLength < 1+len(f.before)+len(f.after) || t.MaxLength > maxText || t.Direction == "Left" {
			return fmt.Errorf("it cuts texts to %d tokens %s: only cuts at the end, with room for a token of the text, are known", t.MaxLength, strings.ToLower(t.Direction))
		}
		f.length = t.MaxLength
	}
	return nil
}

func yes(b *bool) bool { return b == nil || *b }

func (f *File) addNormalizer(c *component) error {
	if c == nil {
		return nil
	}
	add := func(n normalizer) { f.normalize = append(f.normalize, n) }
	switch c.Type {
	case "Sequence":
		for i := range c.Normalizers {
			if err := f.addNormalizer(&c.Normalizers[i]); err != nil {
				return err
			}
		}
	case "BertNormalizer":
		strip := yes(c.Lowercase)
		if c.StripAccents != nil {
			strip = *c.StripAccents
		}
		add(bert(yes(c.CleanText), yes(c.HandleChineseChars), strip, yes(c.Lowercase)))
	case "Lowercase":
		add(strings.ToLower)
	case "NFC":
		add(norm.NFC.String)
	case "NFD":
		add(norm.NFD.String)
	case "NFKC":
		add(norm.NFKC.String)
	case "NFKD":
		add(norm.NFKD.String)
	case "StripAccents":
		add(withoutAccents)
	case "Strip":
		add(func(s string) string {
			if c.StripLeft {
				s = strings.TrimLeft(s, " \t\r\n")
			}
			if c.StripRight {
				s = strings.TrimRight(s, " \t\r\n")
			}
			return s
		})
	case "Prepend":
		add(func(s string) string { return c.Prepend + s })
	case "Replace":
		var p struct{ String *string }
		if json.Unmarshal(c.Pattern, &p) != nil || p.String == nil || *p.String == "" || len(c.Content) > maxToken {
			return errors.New("its normaliser replaces by a regular expression, which is not known here: give an endpoint that tokenizes")
		}
		add(func(s string) string { return strings.ReplaceAll(s, *p.String, c.Content) })
	default:
		return unknown("normaliser", c.Type)
	}
	return nil
}

func unknown(what, name string) error {
	return fmt.Errorf("its %s %.40q is not known here: give an endpoint that tokenizes", what, name)
}

func (f *File) addSplitter(c *component) error {
	if c == nil {
		return nil
	}
	add := func(s splitter) { f.split = append(f.split, s) }
	switch c.Type {
	case "Sequence":
		for i := range c.Pretokenizers {
			if err := f.addSplitter(&c.Pretokenizers[i]); err != nil {
				return err
			}
		}
	case "BertPreTokenizer":
		add(each(bertPieces))
	case "Whitespace":
		add(each(words))
	case "WhitespaceSplit":
		add(each(betweenSpaces))
	case "Punctuation":
		if c.Behavior != "" && c.Behavior != "Isolated" {
			return unknown("cut at punctuation", c.Behavior)
		}
		add(each(punctuationAlone))
	case "Digits":
		add(each(digits(c.IndividualDigits)))
	case "ByteLevel":
		add(byteLevel(yes(c.AddPrefixSpace), yes(c.UseRegex)))
	case "Metaspace":
		scheme := c.PrependScheme
		if scheme == "" {
			scheme = "always"
			if !yes(c.AddPrefixSpace) {
				scheme = "never"
			}
		}
		if c.Replacement == "" || strings.Contains(c.Replacement, " ") || len(c.Replacement) > 8 || !slices.Contains([]string{"always", "first", "never"}, scheme) {
			return unknown("way to write blanks", c.Replacement+scheme)
		}
		add(metaspace(c.Replacement, scheme, yes(c.Split)))
	default:
		return unknown("pre-tokeniser", c.Type)
	}
	return nil
}

func (f *File) addTemplate(c *component) error {
	if c == nil {
		return nil
	}
	switch c.Type {
	case "Sequence":
		for i := range c.Processors {
			if err := f.addTemplate(&c.Processors[i]); err != nil {
				return err
			}
		}
	case "ByteLevel": // changes offsets alone
	case "BertProcessing", "RobertaProcessing":
		f.before, f.after = []int64{c.Cls.id}, []int64{c.Sep.id}
	case "TemplateProcessing":
		to := &f.before
		for _, p := range c.Single {
			switch {
			case p.Sequence != nil:
				to = &f.after
			case p.SpecialToken != nil:
				t, ok := c.SpecialTokens[p.SpecialToken.ID]
				if !ok {
					return fmt.Errorf("its template has the token %.40q, which it does not explain", p.SpecialToken.ID)
				}
				*to = append(*to, t.IDs...)
			}
		}
	default:
		return unknown("post-processor", c.Type)
	}
	const most = 16
	if len(f.before)+len(f.after) > most || slices.ContainsFunc(append(slices.Clone(f.before), f.after...), func(id int64) bool { return id < 0 || id > math.MaxInt32 }) {
		return fmt.Errorf("its template adds more than %d tokens to a text, or tokens of impossible numbers", most)
	}
	return nil
}

func (m *modelJSON) segmenter() (segmenter, error) {
	if m.Type == "Unigram" {
		return m.unigram()
	}
	var ids map[string]int64
	if err := json.Unmarshal(m.Vocab, &ids); err != nil {
		return nil, fmt.Errorf("its vocabulary cannot be read: %w", err)
	}
	v, err := newVocabulary(ids, m.UnkToken)
	if err != nil {
		return nil, err
	}
	kind := m.Type
	if kind == "" && m.Merges != nil { // older files leave the type out
		kind = "BPE"
	}
	switch kind {
	case "WordLevel":
		return wordLevel{v}, nil
	case "WordPiece":
		w := wordPiece{v, "##", 100}
		if m.ContinuingSubwordPrefix != nil {
			w.prefix = *m.ContinuingSubwordPrefix
		}
		if n := m.MaxInputCharsPerWord; n != nil {
			w.most = *n
		}
		if w.most < 1 || w.most > maxText || len(w.prefix) > maxToken {
			return nil, fmt.Errorf("it takes words of up to %d characters, which makes no sense", w.most)
		}
		return w, nil
	case "BPE":
		return m.bpe(v)
	}
	return nil, unknown("model", m.Type)
}

func (m *modelJSON) bpe(v vocabulary) (segmenter, error) {
	b := &bpe{vocabulary: v, suffix: m.EndOfWordSuffix, fuse: m.FuseUnk, bytes: m.ByteFallback, wholeToo: m.IgnoreMerges, ranks: map[[2]string]int{}}
	if m.ContinuingSubwordPrefix != nil {
		b.prefix = *m.ContinuingSubwordPrefix
	}
	if m.Dropout != 0 {
		return nil, errors.New("it drops merges at random, as in training: write it without dropout")
	}
	if len(b.prefix) > maxToken || len(b.suffix) > maxToken {
		return nil, fmt.Errorf("its marks within words are longer than %d bytes", maxToken)
	}
	merges, err := readMerges(m.Merges)
	if err != nil {
		return nil, err
	}
	for rank, pair := range merges {
		if _, ok := v.ids[b.joined(pair[0], pair[1])]; !ok {
			return nil, fmt.Errorf("merge %d gives %.40q, which is not in its vocabulary", rank+1, b.joined(pair[0], pair[1]))
		}
		if _, twice := b.ranks[pair]; !twice {
			b.ranks[pair] = rank
		}
	}
	return b, nil
}

// readMerges reads ["a b", …] or [["a", "b"], …].
func readMerges(data json.RawMessage) ([][2]string, error) {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		out := make([][2]string, len(lines))
		for i, line := range lines {
			a, b, ok := strings.Cut(line, " ")
			if !ok || a == "" || b == "" {
				return nil, fmt.Errorf("merge %d, %.40q, is not two tokens with a blank between them", i+1, line)
			}
			out[i] = [2]string{a, b}
		}
		return out, nil
	}
	var lists [][]string
	if err := json.Unmarshal(data, &lists); err != nil {
		return nil, fmt.Errorf("its merges cannot be read: %w", err)
	}
	out := make([][2]string, len(lists))
	for i, l := range lists {
		if len(l) != 2 || l[0] == "" || l[1] == "" {
			return nil, fmt.Errorf("merge %d is not of two tokens", i+1)
		}
		out[i] = [2]string{l[0], l[1]}
	}
	return out, nil
}

func (m *modelJSON) unigram() (segmenter, error) {
	var list [][]json.RawMessage
	if err := json.Unmarshal(m.Vocab, &list); err != nil {
		return nil, fmt.Errorf("its vocabulary cannot be read: %w", err)
	}
	ids, scores, least := map[string]int64{}, map[string]float64{}, math.Inf(1)
	for i, entry := range list {
		var token string
		var score float64
		if len(entry) != 2 || json.Unmarshal(entry[0], &token) != nil || json.Unmarshal(entry[1], &score) != nil || math.Abs(score) > 1e6 {
			return nil, fmt.Errorf("entry %d of its vocabulary is not a token and its score", i)
		}
		if _, twice := ids[token]; !twice {
			ids[token], scores[token] = int64(i), score
		}
		least = min(least, score)
	}
	delete(scores, "")
	v, err := newVocabulary(ids, "")
	if err != nil {
		return nil, err
	}
	if m.UnkID != nil && *m.UnkID >= 0 && *m.UnkID < int64(len(list)) {
		v.unknown = *m.UnkID
	}
	return &unigram{vocabulary: v, scores: scores, least: least, bytes: m.ByteFallback}, nil
}

// decodeVocabulary reads a vocabulary of WordPiece, as BERT's program does: lower case, unless a token is not.
func decodeVocabulary(text string) (*File, error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > maxVocab {
		return nil, fmt.Errorf("it has %d lines, and at most %d tokens are read", len(lines), maxVocab)
	}
	ids, lower := map[string]int64{}, true
	for i, line := range lines {
		token := strings.TrimSuffix(line, "\r")
		if _, twice := ids[token]; !twice {
			ids[token] = int64(i)
		}
		if token != strings.ToLower(token) && !strings.HasPrefix(token, "[") {
			lower = false
		}
	}
	v, err := newVocabulary(ids, "[UNK]")
	if err != nil {
		return nil, err
	}
	f := &File{model: wordPiece{v, "##", 100}, normalize: []normalizer{bert(true, true, lower, lower)}, split: []splitter{each(bertPieces)}}
	for _, special := range []string{"[UNK]", "[CLS]", "[SEP]"} {
		id, ok := ids[special]
		if !ok {
			return nil, fmt.Errorf("it has no token %s: a vocabulary of WordPiece has one token a line, among them [UNK], [CLS] and [SEP]", special)
		}
		f.added = append(f.added, addedToken{content: special, id: id})
	}
	f.before, f.after = []int64{ids["[CLS]"]}, []int64{ids["[SEP]"]}
	f.pad = ids["[PAD]"]
	return f, nil
}

// numbersIn reads the numbers of tokens in an endpoint's answer: [[1, 2], …], [[{"id": 1}, …], …], or either under ids.
func numbersIn(data []byte, texts int) ([][]int64, error) {
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		var under struct {
			IDs json.RawMessage `json:"ids"`
		}
		if err := json.Unmarshal(data, &under); err != nil {
			return nil, err
		}
		data = under.IDs
	}
	var lists [][]tokenNumber
	if err := json.Unmarshal(data, &lists); err != nil {
		return nil, err
	}
	if len(lists) != texts {
		return nil, fmt.Errorf("it has tokens of %d texts, and was asked about %d", len(lists), texts)
	}
	out := make([][]int64, len(lists))
	for i, list := range lists {
		for _, n := range list {
			if n < 0 || n > math.MaxInt32 {
				return nil, fmt.Errorf("text %d has a token of the number %d", i+1, n)
			}
			out[i] = append(out[i], int64(n))
		}
	}
	return out, nil
}

// tokenNumber is a number, or an object that has it as its id.
type tokenNumber int64

func (n *tokenNumber) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var o struct {
			ID *int64 `json:"id"`
		}
		if err := json.Unmarshal(data, &o); err != nil {
			return err
		}
		if o.ID == nil {
			return errors.New("a token has no id")
		}
		*n = tokenNumber(*o.ID)
		return nil
	}
	return json.Unmarshal(data, (*int64)(n))
}
