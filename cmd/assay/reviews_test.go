package main

import (
	"context"
	"os"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"assay/internal/model/ort"
	"assay/internal/text/texttest"
	"assay/internal/text/tokenizer"
)

// trained is the model of reviews, trained once for all scripts.
var trained = sync.OnceValues(func() ([]byte, error) {
	ctx := context.Background()
	tok, err := tokenizer.Decode(texttest.Tokenizer(texttest.Vocabulary(false)))
	if err != nil {
		return nil, err
	}
	if err := ort.Load(library("../..")); err != nil {
		return nil, err
	}
	encode := func(texts []string) ([][]int64, error) { return tok.Encode(ctx, texts) }
	m, err := texttest.Train(ctx, encode, 1<<7, texttest.Generate(1500, 1))
	if err != nil {
		return nil, err
	}
	return m.Encode()
})

// reviews writes a model of reviews, its tokenizer, one that cannot tell synonyms apart, synonyms and reviews to the script's folder.
func reviews(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: reviews")
	}
	m, err := trained()
	ts.Check(err)
	for name, data := range map[string][]byte{
		"reviews.onnx": m, "tokenizer.json": texttest.Tokenizer(texttest.Vocabulary(false)), "merged.json": texttest.Tokenizer(texttest.Vocabulary(true)),
		"synonyms.txt": texttest.SynonymLines(), "reviews.jsonl": texttest.Generate(60, 2).Lines(), "many.jsonl": texttest.Generate(500, 3).Lines(),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o600))
	}
}
