package tokenizer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func encode(t *testing.T, f Tokenizer, text string) []int64 {
	t.Helper()
	out, err := f.Encode(context.Background(), []string{text})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return out[0]
}

// The vocabulary and the answer of the transformers library's own test of BERT's tokenizer.
const bertVocabulary = "[UNK]\n[CLS]\n[SEP]\nwant\n##want\n##ed\nwa\nun\nrunn\n##ing\n,\nlow\nlowest\n"

func TestBERT(t *testing.T) {
	f, err := Decode([]byte(bertVocabulary))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int64{
		"UNwant\u00E9d,running":     {1, 7, 4, 5, 10, 8, 9, 2},
		" \tUNwanted , running \n ": {1, 7, 4, 5, 10, 8, 9, 2},
		"lowest[SEP]low":            {1, 12, 2, 11, 2},
		"unwantedX running":         {1, 0, 8, 9, 2}, // a word of which a part is unknown is unknown
		"":                          {1, 2},
		"wa\u0000nt\u200bed":        {1, 3, 5, 2}, // what cannot be seen is dropped
	} {
		if got := encode(t, f, text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// The pieces of BERT's BasicTokenizer in the same library's tests.
func TestBERTPieces(t *testing.T) {
	lower, cased := bert(true, true, true, true), bert(true, true, false, false)
	for _, c := range []struct {
		n    normalizer
		text string
		want []string
	}{
		{lower, "ah\u535A\u63A8zz", []string{"ah", "\u535A", "\u63A8", "zz"}},
		{lower, " \tHeLLo!how  \n Are yoU?  ", []string{"hello", "!", "how", "are", "you", "?"}},
		{lower, "H\u00E9llo", []string{"hello"}},
		{cased, " \tHeLLo!how  \n Are yoU?  ", []string{"HeLLo", "!", "how", "Are", "yoU", "?"}},
		{bert(true, true, false, true), " \tHäLLo!how  \n Are yoU?  ", []string{"hällo", "!", "how", "are", "you", "?"}},
		{lower, "a\n'll !!to?'d of, can't.", []string{"a", "'", "ll", "!", "!", "to", "?", "'", "d", "of", ",", "can", "'", "t", "."}},
	} {
		if got := bertPieces(c.n(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func tokenizerJSON(model string, rest string) []byte {
	return []byte(`{"version": "1.0", ` + rest + ` "model": ` + model + `}`)
}

// The vocabulary and the answer of the transformers library's test of GPT-2's tokenizer.
func TestGPT2(t *testing.T) {
	vocabulary := []string{"l", "o", "w", "e", "r", "s", "t", "i", "d", "n", "\u0120", "\u0120l", "\u0120n", "\u0120lo", "\u0120low", "er", "\u0120lowest", "\u0120newer", "\u0120wider", "<unk>", "<|endoftext|>"}
	ids := map[string]int{}
	for i, token := range vocabulary {
		ids[token] = i
	}
	text, _ := json.Marshal(ids)
	for _, merges := range []string{`["\u0120 l", "\u0120l o", "\u0120lo w", "e r"]`, `[["\u0120", "l"], ["\u0120l", "o"], ["\u0120lo", "w"], ["e", "r"]]`} {
		f, err := Decode(tokenizerJSON(`{"type": "BPE", "unk_token": "<unk>", "vocab": `+string(text)+`, "merges": `+merges+`}`,
			`"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}, "truncation": {"max_length": 7, "direction": "Right"},`))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := encode(t, f, "lower newer"), []int64{14, 15, 10, 9, 3, 2, 15}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got, want := encode(t, f, "lower newer newer"), []int64{14, 15, 10, 9, 3, 2, 15}; !slices.Equal(got, want) || f.Length() != 7 {
			t.Errorf("cut to 7: %v, want %v", got, want)
		}
	}
}

func TestGPT2Pieces(t *testing.T) {
	for text, want := range map[string][]string{
		"Hello my friend, how is your day going?": {"Hello", " my", " friend", ",", " how", " is", " your", " day", " going", "?"},
		"i'll  don't 12a":                         {"i", "'ll", " ", " don", "'t", " 12", "a"},
		"a   b \n\n c  ":                          {"a", "  ", " b", " \n\n", " c", "  "},
		"\u00e9t\u00e9 \u00df":                    {"\u00e9t\u00e9", " \u00df"},
	} {
		var got []string
		for s := text; s != ""; {
			n := gpt2Piece(s)
			got, s = append(got, s[:n]), s[n:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := bytesAsText("a \u00e9\n"); got != "a\u0120\u00c3\u00a9\u010a" {
		t.Errorf("%q", got)
	}
}

// The pieces and answers of the tokenizers library's own test of Unigram.
func TestUnigram(t *testing.T) {
	f, err := Decode(tokenizerJSON(`{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["ab", 0], ["cd", -0.1], ["abc", -0.2], ["a", -0.3], ["b", -0.4], ["c", -0.5], ["ABC", -0.5], ["abcdabcd", 20], ["q", 20.5], ["r", 20.5], ["qr", -0.5]]}`, ""))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int64{
		"abc": {3}, "AB": {0}, "abcd": {1, 2}, "abcc": {3, 6}, "xabcabaabcdd": {0, 3, 1, 4, 1, 2, 0},
		"xyz\u6771\u4eac": {0}, "ABC": {7}, "abABCcd": {1, 7, 2}, "ababcdabcdcd": {1, 8, 2}, "abqrcd": {1, 9, 10, 2},
	} {
		if got := encode(t, f, text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// Sentencepiece's blanks, and characters by their bytes.
func TestMetaspaceAndBytes(t *testing.T) {
	f, err := Decode(tokenizerJSON(`{"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true, "vocab": {"<unk>": 0, "\u2581": 1, "h": 2, "i": 3, "\u2581h": 4, "\u2581hi": 5, "<0xC3>": 6, "<0xA9>": 7}, "merges": ["\u2581 h", "\u2581h i"]}`,
		`"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}, "added_tokens": [{"id": 9, "content": "<pad>"}],`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encode(t, f, "hi h\u00e9zzi"), []int64{5, 4, 6, 7, 0, 3}; !slices.Equal(got, want) || f.Pad() != 9 {
		t.Errorf("%v, want %v; pad %d", got, want, f.Pad())
	}
	f, err = Decode(tokenizerJSON(`{"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "\u2581a": 1, "\u2581b": 2}}`, `"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encode(t, f, "a b c"), []int64{1, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWordLevelWithTemplate(t *testing.T) {
	f, err := Decode(tokenizerJSON(`{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "good": 1, "day": 2, ",": 3, "_x": 4}}`,
		`"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}, "padding": {"pad_id": 8}, "post_processor": {"type": "TemplateProcessing",
		"single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
		"special_tokens": {"<s>": {"id": "<s>", "ids": [5], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [6], "tokens": ["</s>"]}}},`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encode(t, f, "Good,day _x!"), []int64{5, 1, 3, 2, 4, 0, 6}; !slices.Equal(got, want) || f.Pad() != 8 {
		t.Errorf("%v, want %v; pad %d", got, want, f.Pad())
	}
}

func TestRefusals(t *testing.T) {
	model := `{"type": "WordLevel", "vocab": {"a": 0}}`
	for want, data := range map[string][]byte{
		"no model":                       []byte(`{}`),
		"no tokenizer.json":              []byte(`{"model": 3`),
		"not text in UTF-8":              {'{', 0xff},
		"no token [UNK]":                 []byte("a\nb\n"),
		`normaliser "Precompiled"`:       tokenizerJSON(model, `"normalizer": {"type": "Precompiled"},`),
		"regular expression":             tokenizerJSON(model, `"normalizer": {"type": "Replace", "pattern": {"Regex": "x"}, "content": ""},`),
		`pre-tokeniser "Split"`:          tokenizerJSON(model, `"pre_tokenizer": {"type": "Split"},`),
		`post-processor "Other"`:         tokenizerJSON(model, `"post_processor": {"type": "Other"},`),
		`model "Markov"`:                 tokenizerJSON(`{"type": "Markov", "vocab": {"a": 0}}`, ""),
		"merge 1 gives":                  tokenizerJSON(`{"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]}`, ""),
		"is not two tokens":              tokenizerJSON(`{"type": "BPE", "vocab": {"a": 0}, "merges": ["aa"]}`, ""),
		"dropout":                        tokenizerJSON(`{"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}`, ""),
		"has the number -1":              tokenizerJSON(`{"type": "WordLevel", "vocab": {"a": -1}}`, ""),
		"is not a token and its score":   tokenizerJSON(`{"type": "Unigram", "vocab": [["a"]]}`, ""),
		"room for a token":               tokenizerJSON(model, `"truncation": {"max_length": 0},`),
		"for single words":               tokenizerJSON(model, `"added_tokens": [{"id": 1, "content": "x", "single_word": true}],`),
		"template has the token":         tokenizerJSON(model, `"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "z"}}]},`),
		"which makes no sense":           tokenizerJSON(`{"type": "WordPiece", "vocab": {"a": 0}, "max_input_chars_per_word": 0}`, ""),
		"its vocabulary cannot be read:": tokenizerJSON(`{"type": "WordPiece", "vocab": 7}`, ""),
	} {
		if _, err := Decode(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
	f, err := Decode(tokenizerJSON(model, ""))
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{"no token for what is unknown": "b", "longer than": strings.Repeat("a", maxText+1), "not text in UTF-8": "\xff"} {
		if _, err := f.Encode(context.Background(), []string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := Open(context.Background(), "nothing.json"); err == nil {
		t.Error("a file that is not there was opened")
	}
}

// A long text without blanks takes no more than its share of time: it is cut in proportion to its length.
func TestLongPieces(t *testing.T) {
	f, err := Decode(tokenizerJSON(`{"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaaa": 2}, "merges": ["a a", "aa aa"]}`, ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(t, f, strings.Repeat("a", 1<<18)); len(got) != 1<<16 || got[0] != 2 {
		t.Errorf("%d tokens", len(got))
	}
}

// A normalisation that makes ever more of a text is stopped.
func TestGrowingText(t *testing.T) {
	grow := `{"type": "Replace", "pattern": {"String": "a"}, "content": "` + strings.Repeat("a", 1000) + `"}`
	f, err := Decode(tokenizerJSON(`{"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0}}`, `"normalizer": {"type": "Sequence", "normalizers": [`+grow+`,`+grow+`,`+grow+`]},`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Encode(context.Background(), []string{"aaaaaaaaaaaa"}); err == nil || !strings.Contains(err.Error(), "makes more than") {
		t.Error(err)
	}
}

func TestEndpoint(t *testing.T) {
	answers := ""
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Inputs  []string `json:"inputs"`
			Special bool     `json:"add_special_tokens"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || !q.Special {
			t.Errorf("request %+v, %v", q, err)
		}
		asked++
		if answers != "" {
			_, _ = w.Write([]byte(answers))
			return
		}
		var out [][]map[string]int
		for _, text := range q.Inputs {
			out = append(out, []map[string]int{{"id": 7}, {"id": utf8.RuneCountInString(text)}})
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "tokenizer.yaml")
	if err := os.WriteFile(path, []byte("url: "+server.URL+"/tokenize\nmax_rows: 2\npad: 3\nlength: 128\nretry: {attempts: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Encode(context.Background(), []string{"a", "bb", "ccc"})
	if err != nil || fmt.Sprint(out) != "[[7 1] [7 2] [7 3]]" || asked != 2 || e.Pad() != 3 || e.Length() != 128 {
		t.Errorf("%v, %v, %d requests", out, err, asked)
	}
	for _, c := range []struct{ answer, want string }{
		{`{"ids": [[1, 2]]}`, ""}, {`[[1], [2]]`, "tokens of 2 texts"}, {`[[-4]]`, "number -4"}, {`[[{"token": 1}]]`, "no id"}, {`no`, "not usable"}, {`{"tokens": []}`, "not usable"},
	} {
		answers = c.answer
		_, err := e.Encode(context.Background(), []string{"a"})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.answer, err, c.want)
		}
	}
	if err := os.WriteFile(path, []byte("url: ftp://x\nroom: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), path); err == nil || !strings.Contains(err.Error(), "room") {
		t.Errorf("%v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(bertVocabulary), "UNwanted running")
	f.Add(tokenizerJSON(`{"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "vocab": {"<unk>": 0, "a": 1, "aa": 2}, "merges": ["a a"]}`,
		`"pre_tokenizer": {"type": "ByteLevel"}, "added_tokens": [{"id": 9, "content": "<pad>", "lstrip": true, "rstrip": true}],`), "aa <pad> b")
	f.Add(tokenizerJSON(`{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["ab", -1], ["a", -2]]}`, `"normalizer": {"type": "NFKC"}, "pre_tokenizer": {"type": "Metaspace", "replacement": "_"},`), "abab b")
	f.Add(tokenizerJSON(`{"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0}}`, `"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Digits"}, {"type": "Punctuation"}]}, "truncation": {"max_length": 2},`), "a1,b")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tokenizer, err := Decode(data)
		if err != nil || len(text) > 1<<12 {
			return
		}
		ids, err := tokenizer.Encode(context.Background(), []string{text})
		if err != nil {
			return
		}
		for _, id := range ids[0] {
			if id < 0 {
				t.Errorf("a token has the number %d", id)
			}
		}
		if n := tokenizer.Length(); n > 0 && len(ids[0]) > n {
			t.Errorf("%d tokens where the most are %d", len(ids[0]), n)
		}
	})
}
