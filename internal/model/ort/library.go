package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	binding "github.com/yalue/onnxruntime_go"
)

// LibraryVariable is the environment variable that names the ONNX Runtime library.
const LibraryVariable = "ASSAY_ONNXRUNTIME"

// apiVersion is the version of ONNX Runtime's C interface that the binding asks
// for; release 1.N offers the versions up to N.
const apiVersion = 24

const howToGet = `run "make setup" in Assay's folder to get it, or name a library of release 1.24 or later in ` + LibraryVariable

// library is the process's one ONNX Runtime: the C library cannot be loaded twice.
var library struct {
	sync.Mutex
	path string // absolute, of the loaded library, "" before
}

// Load loads the ONNX Runtime library, once; New and Open do so by themselves. An
// empty path looks for it in turn at the path in ASSAY_ONNXRUNTIME, beside the
// program, in ../lib, and where "make setup" puts it. Nothing is looked for in the
// working folder, which may belong to whoever made the model under test; only Go's
// tests, which have no program in the checkout, look upward from there.
// It is safe to call from several goroutines.
func Load(path string) error {
	library.Lock()
	defer library.Unlock()
	if library.path != "" {
		if abs, err := filepath.Abs(path); err == nil && path != "" && abs != library.path {
			return fmt.Errorf("ONNX Runtime is loaded from %s already, so it cannot be loaded from %s", library.path, path)
		}
		return nil
	}
	found, err := findLibrary(path)
	if err != nil {
		return err
	}
	version, err := libraryVersion(found)
	if err != nil {
		return fmt.Errorf("%s cannot be loaded as the ONNX Runtime library: %w; %s", found, err, howToGet)
	}
	if err := checkVersion(version); err != nil {
		return fmt.Errorf("%s: %w; %s", found, err, howToGet)
	}
	binding.SetSharedLibraryPath(found)
	if err := binding.InitializeEnvironment(binding.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("start ONNX Runtime from %s: %w; %s", found, err, howToGet)
	}
	library.path = found
	return nil
}

// Loaded gives the path and the version of the library that Load loaded, empty before.
func Loaded() (path, version string) {
	library.Lock()
	defer library.Unlock()
	if library.path == "" {
		return "", ""
	}
	return library.path, binding.GetVersion()
}

// checkVersion refuses releases without the wanted interface: asking them for it
// would make them print to the terminal. An empty version is unknown.
func checkVersion(version string) error {
	if version == "" {
		return nil
	}
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n == 2 && major == 1 && minor >= apiVersion {
		return nil
	}
	return fmt.Errorf("this is ONNX Runtime %s, and 1.%d or later is needed", version, apiVersion)
}

func findLibrary(path string) (string, error) {
	if path == "" {
		path = os.Getenv(LibraryVariable)
	}
	if path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("the ONNX Runtime library is not there: %w; %s", err, howToGet)
		}
		return filepath.Abs(path)
	}
	var tried []string
	for _, dir := range libraryFolders() {
		for _, name := range libraryNames() {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				return file, nil
			}
		}
		tried = append(tried, dir)
	}
	if len(tried) == 0 {
		return "", errors.New("the ONNX Runtime library was not found; " + howToGet)
	}
	return "", fmt.Errorf("the ONNX Runtime library was not found (looked in %s); %s", strings.Join(tried, ", "), howToGet)
}

func libraryFolders() []string {
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		dirs = append(dirs, dir, filepath.Join(dir, "..", "lib"), packageFolder(dir), packageFolder(filepath.Dir(dir)))
	}
	if !testing.Testing() {
		return dirs
	}
	for dir, err := os.Getwd(); err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		dirs = append(dirs, packageFolder(dir))
	}
	return dirs
}

// packageFolder is where the npm package onnxruntime-node keeps this platform's library.
func packageFolder(root string) string {
	system, arch := runtime.GOOS, runtime.GOARCH
	if system == "windows" {
		system = "win32"
	}
	if arch == "amd64" {
		arch = "x64"
	}
	return filepath.Join(root, "node_modules", "onnxruntime-node", "bin", "napi-v6", system, arch)
}

func libraryNames() []string {
	switch runtime.GOOS {
	case "windows":
		return []string{"onnxruntime.dll"}
	case "darwin":
		return []string{"libonnxruntime.1.dylib", "libonnxruntime.dylib"}
	}
	return []string{"libonnxruntime.so.1", "libonnxruntime.so"}
}
