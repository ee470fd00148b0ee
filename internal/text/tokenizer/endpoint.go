package tokenizer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"assay/internal/model/remote"
	"assay/internal/strict"
)

// Endpoint says where texts are tokenized, in YAML: url, and of package remote's fields timeout, retry, rate, max_rows,
// max_answer, auth and tls. Requests are {"inputs": ["a text", …], "add_special_tokens": true}, as Hugging Face's text
// embeddings server takes them at /tokenize; answers are a list of numbers of tokens for each text, or of objects with
// an id, alone or as the member ids.
type Endpoint struct {
	remote.Config `yaml:",inline"`
	PadID         int64 `yaml:"pad" check:"min=0 max=2147483647"`    // the token that fills up
	Most          int   `yaml:"length" check:"min=0 max=1000000000"` // tokens that a text is cut to; 0 for any
}

// endpoint asks.
type endpoint struct {
	Endpoint
	poster *remote.Poster
}

func openEndpoint(_ context.Context, path string) (Tokenizer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	e := &endpoint{}
	if err := strict.Decode(path, data, &e.Endpoint, strict.Sets{}).Err(); err != nil {
		return nil, err
	}
	if e.poster, err = remote.NewPoster(e.Config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

func (e *endpoint) Pad() int64  { return e.PadID }
func (e *endpoint) Length() int { return e.Most }

// together is how many texts a request has, unless max_rows says otherwise.
const together = 64

func (e *endpoint) Encode(ctx context.Context, texts []string) ([][]int64, error) {
	out := make([][]int64, 0, len(texts))
	for len(texts) > 0 {
		n := min(cmp.Or(e.MaxRows, together), len(texts))
		request, err := json.Marshal(map[string]any{"inputs": texts[:n], "add_special_tokens": true})
		if err != nil {
			return nil, err
		}
		err = e.poster.Post(ctx, n, request, func(body []byte) error {
			ids, err := numbersIn(body, n)
			out = append(out, ids...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("the tokenizer: %w", err)
		}
		texts = texts[n:]
	}
	return out, nil
}
