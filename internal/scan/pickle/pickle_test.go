package pickle

import (
	"bytes"
	"context"
	"testing"

	"assay/internal/scan"
)

func scanned(t testing.TB, name string, data []byte) scan.Result {
	t.Helper()
	r := scan.Runner{Scanners: []scan.Scanner{Scanner{}, Embedded{}}}
	result, err := r.Content(context.Background(), name, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestQuality is the gate that the scanner is held to: all that is malicious is found,
// nothing harmless is, and of the harmless at most 2 in 100 are undecided.
func TestQuality(t *testing.T) {
	bad, good := malicious(), benign()
	if len(bad) < 200 || len(good) < 100 {
		t.Fatalf("the corpus has %d malicious and %d benign files", len(bad), len(good))
	}
	for _, s := range bad {
		if r := scanned(t, s.name, s.data); r.Status != scan.Found {
			t.Errorf("%s is %s: %v", s.name, r.Status, r.Findings)
		}
	}
	undecided := 0
	for _, s := range good {
		switch r := scanned(t, s.name, s.data); r.Status {
		case scan.Clean:
		case scan.Undecided:
			undecided++
			t.Logf("%s is undecided: %v", s.name, r.Findings)
		default:
			t.Errorf("%s is %s: %v", s.name, r.Status, r.Findings)
		}
	}
	if 100*undecided > 2*len(good) {
		t.Errorf("%d of %d benign files are undecided", undecided, len(good))
	}
	t.Logf("%d malicious files found, %d benign files, %d of them undecided", len(bad), len(good), undecided)
}
