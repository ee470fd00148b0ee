// Package texttest makes what tests of classifiers of texts need: reviews made up from a seed, a tokenizer of their words, synonyms,
// and a model trained on them.
package texttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"assay/internal/train"
	"assay/onnx"
)

// Reviews are texts with their classes.
type Reviews struct {
	Texts  []string
	Labels []int // 0 for negative, 1 for positive
}

// Classes are the names of the classes, in order.
func Classes() []string { return []string{"negative", "positive"} }

// Words of a mood. Those at the end of each list are rare in reviews, and some occur in the other mood as often: a model learns less of them.
var (
	moods = [2][]string{
		{"awful", "boring", "dull", "weak", "poor", "terrible", "tedious", "bland", "shallow", "clumsy"},
		{"great", "moving", "clever", "strong", "fine", "superb", "gripping", "charming", "deep", "graceful"},
	}
	rare = [2][]string{
		{"dreadful", "tiresome", "lifeless", "feeble", "inferior", "abysmal", "plodding", "insipid", "superficial", "awkward"},
		{"terrific", "stirring", "ingenious", "powerful", "decent", "magnificent", "riveting", "delightful", "profound", "elegant"},
	}
	things  = []string{"film", "story", "plot", "cast", "script", "acting", "music", "ending", "camera", "dialogue"}
	degrees = []string{"really", "quite", "truly", "rather", "simply", "utterly"}
	verbs   = []string{"was", "felt", "seemed", "remained"}
)

// Synonyms are the words that may stand for another: the rare word of the same mood for each, and for words without one.
func Synonyms() map[string][]string {
	out := map[string][]string{"film": {"movie", "picture"}, "really": {"very"}, "great": {"terrific", "awesome"}}
	for mood, list := range moods {
		for i, w := range list {
			out[w] = append(out[w], rare[mood][i])
		}
	}
	out["great"] = []string{"terrific", "awesome"}
	return out
}

// SynonymLines are the synonyms as a file.
func SynonymLines() []byte {
	var b bytes.Buffer
	table := Synonyms()
	words := make([]string, 0, len(table))
	for w := range table {
		words = append(words, w)
	}
	slices.Sort(words)
	for _, w := range words {
		fmt.Fprintf(&b, "%s: %s\n", w, strings.Join(table[w], ", "))
	}
	return b.Bytes()
}

// Generate makes n reviews of some sentences each, of which most are of the review's mood.
func Generate(n int, seed uint64) *Reviews {
	r := rand.New(rand.NewPCG(seed, 9))
	one := func(list []string) string { return list[r.IntN(len(list))] }
	out := &Reviews{}
	for i := range n {
		mood := i % 2
		var sentences []string
		for k := range 3 {
			of := mood
			if k == 2 && r.IntN(3) == 0 {
				of = 1 - mood // nobody likes or hates everything
			}
			word := one(moods[of])
			if r.IntN(12) == 0 {
				word = one(rare[r.IntN(2)]) // a rare word says little
			}
			sentences = append(sentences, fmt.Sprintf("The %s %s %s %s.", one(things), one(verbs), one(degrees), word))
		}
		out.Texts, out.Labels = append(out.Texts, strings.Join(sentences, " ")), append(out.Labels, mood)
	}
	return out
}

// Lines are the reviews as JSON Lines, with the members text and label.
func (r *Reviews) Lines() []byte {
	var b bytes.Buffer
	for i, text := range r.Texts {
		line, _ := json.Marshal(map[string]string{"text": text, "label": Classes()[r.Labels[i]]}) // texts are always JSON
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// Vocabulary is all words that reviews have, each with a number. With merged, synonyms share that of the word for which they stand: a
// model behind such a tokenizer cannot tell them apart, and no synonym misleads it.
func Vocabulary(merged bool) map[string]int64 {
	ids := map[string]int64{"[PAD]": 0, "[UNK]": 1}
	for _, list := range slices.Concat([][]string{{"the", "movie", "picture", "very", "awesome"}}, moods[:], rare[:], [][]string{things, degrees, verbs}) {
		for _, w := range list {
			ids[w] = int64(len(ids))
		}
	}
	if merged {
		for w, synonyms := range Synonyms() {
			for _, s := range synonyms {
				ids[s] = ids[w]
			}
		}
	}
	return ids
}

// Tokenizer is a tokenizer.json of whole words.
func Tokenizer(vocabulary map[string]int64) []byte {
	data, _ := json.Marshal(map[string]any{ // texts and numbers are always JSON
		"normalizer":    map[string]any{"type": "Lowercase"},
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{map[string]any{"type": "Whitespace"}}},
		"model":         map[string]any{"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary},
	})
	return data
}

// width is how many numbers stand for a word.
const width = 8

// network takes numbers of tokens, of the type and shape given, and gives logits from the mean of the words' vectors.
func network(elem onnx.DataType, length any, words int64, seed uint64) *onnx.Model {
	r := rand.New(rand.NewPCG(seed, 1))
	draw := func(n int64, size float64) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(size * r.NormFloat64())
		}
		return out
	}
	b := onnx.NewBuilder("reviews")
	ids := b.Input("input_ids", elem, "batch", length)
	if elem != onnx.Int64 {
		ids = b.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, ids)
	}
	vectors := b.Op("Gather", nil, b.Weight(onnx.NewTensor("embedding", draw(words*width, 0.3), words, width)), ids)
	mean := b.Op("ReduceMean", onnx.Attrs{"keepdims": int64(0)}, vectors, b.Ints(1))
	hidden := b.Op("Relu", nil, b.Op("Gemm", nil, mean, b.Weight(onnx.NewTensor("hidden", draw(width*width, 0.3), width, width)), b.Weight(onnx.NewTensor("hidden_bias", make([]float32, width)))))
	b.Add("Gemm", nil, []string{hidden, b.Weight(onnx.NewTensor("out", draw(width*2, 0.3), width, 2)), b.Weight(onnx.NewTensor("out_bias", make([]float32, 2)))}, []string{b.Name("logits")})
	b.Output("logits", onnx.Float32, onnx.Dims("batch", 2))
	return b.Model()
}

// Train trains a classifier of reviews: a network of the mean of words' vectors, that takes [batch, tokens] of int64.
func Train(ctx context.Context, encode func(texts []string) ([][]int64, error), words int64, r *Reviews) (*onnx.Model, error) {
	ids, err := encode(r.Texts)
	if err != nil {
		return nil, err
	}
	d := &train.Data{Shape: []int{len(ids[0])}}
	for i, row := range ids {
		if len(row) != len(ids[0]) {
			return nil, fmt.Errorf("review %d has %d tokens, and the first has %d", i+1, len(row), len(ids[0]))
		}
		for _, id := range row {
			d.X = append(d.X, float32(id))
		}
		d.Classes = append(d.Classes, int32(r.Labels[i]))
	}
	result, err := train.Run(ctx, network(onnx.Float32, len(ids[0]), words, 1), d, train.Options{
		Epochs: 20, Batch: 32, Optimizer: train.Optimizer{Method: train.Adam, Rate: 0.01}, Seed: 1, Threads: 1})
	if err != nil {
		return nil, err
	}
	m := network(onnx.Int64, "tokens", words, 1)
	for i, t := range m.Graph.Initializers {
		if trained := result.Model.Graph.Initializer(t.Name); trained != nil {
			m.Graph.Initializers[i] = trained
		}
	}
	return m, nil
}
