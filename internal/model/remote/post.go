package remote

import (
	"context"
	"net/http"
)

// Poster sends JSON to one address and gives back JSON, under the same rules as a Classifier asks: retries, rates,
// limits, and a secret that errors do not show. It is for what stands beside a model, such as a tokenizer.
type Poster struct {
	client *httpClient
	asker  *asker
}

// NewPoster makes a poster. Of the configuration, what is about a model does not count.
func NewPoster(cfg Config) (*Poster, error) {
	cfg.Protocol = JSON
	var v validation
	v.url(cfg)
	v.limits(cfg)
	v.auth(cfg)
	if err := v.err(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	hidden, err := cfg.Auth.secret()
	if err != nil {
		return nil, err
	}
	client, err := newHTTPClient(cfg, hidden)
	if err != nil {
		return nil, err
	}
	return &Poster{client: client, asker: newAsker(cfg, hidden)}, nil
}

// Post sends a request about some rows, and has read look at the answer. An error of the endpoint, or of read, is an *Error.
func (p *Poster) Post(ctx context.Context, rows int, request []byte, read func([]byte) error) error {
	return p.asker.ask(ctx, rows, func(ctx context.Context) error {
		body, err := p.client.do(ctx, http.MethodPost, p.client.base, request, p.client.maxAnswer)
		if err != nil {
			return err
		}
		if err := read(body); err != nil {
			return &Error{Problem: "its answer is not usable: " + err.Error(), Body: p.client.start(body, false)}
		}
		return nil
	})
}

// Close ends the connections.
func (p *Poster) Close() error { return p.client.close() }
