package safetensors

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"assay/internal/scan"
)

// A file of 100 GB that is one hole but for its header costs no more than its header.
func TestLargeFile(t *testing.T) {
	const size = 100 << 30
	header := fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, int64(size), int64(size))
	path := filepath.Join(t.TempDir(), "large.safetensors")
	if err := os.WriteFile(path, append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(8+len(header))+size); err != nil {
		t.Skipf("this file system holds no sparse file of 100 GB: %v", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	results, err := (&scan.Runner{Scanners: []scan.Scanner{Scanner{}}}).Paths(t.Context(), []string{path})
	runtime.ReadMemStats(&after)
	if err != nil || len(results) != 1 || results[0].Status != scan.Clean {
		t.Fatalf("%v, %v", results, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<20 {
		t.Errorf("it allocated %d bytes", allocated)
	}
}
