package robustness

import (
	"sync"

	"assay/internal/assess"
	"assay/internal/evidence"
)

// closer is a model and data made ready for an attacker.
type closer interface{ close() }

// cache keeps what was made ready for tests, by model, data and attacker. Its zero value is ready for use, and safe for concurrent use.
type cache[P closer] struct {
	mu  sync.Mutex
	all map[string]P
}

// get gives what is ready for a test, made once for all shards: one at a time.
func (c *cache[P]) get(test *assess.Test, prepare func() (P, error)) (P, error) {
	key := evidence.DigestOf([]any{test.Model, test.Data, test.Attacker})
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.all[key]; ok {
		return p, nil
	}
	p, err := prepare()
	if err == nil {
		if c.all == nil {
			c.all = map[string]P{}
		}
		c.all[key] = p
	}
	return p, err
}

// close frees the models.
func (c *cache[P]) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.all {
		p.close()
	}
	c.all = nil
}
