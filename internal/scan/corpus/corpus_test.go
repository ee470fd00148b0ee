package corpus_test

import (
	"bytes"
	"testing"

	"assay/internal/scan/corpus"
)

// Runs name cases by their place, so that cases, their bytes and their order are the same each time.
func TestSameEachTime(t *testing.T) {
	first := corpus.All()
	if len(first) < 600 {
		t.Fatalf("%d cases", len(first))
	}
	for range 3 {
		again := corpus.All()
		if len(again) != len(first) {
			t.Fatalf("%d cases, and then %d", len(first), len(again))
		}
		for i, c := range again {
			if c.Name != first[i].Name || !bytes.Equal(c.Data, first[i].Data) {
				t.Fatalf("case %d is %s, and then %s with other bytes", i, first[i].Name, c.Name)
			}
		}
	}
}
