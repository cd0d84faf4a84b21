// Runs SavedModels one after the other through TensorFlow's C API: no Python in the process.
//
//   c_api TEXT LIBRARIES [DIRECTORY INPUTS OUTPUTS]...
//
// LIBRARIES are the shared libraries of further operations, INPUTS and OUTPUTS the names of a signature's tensors
// ("serving_default_text", "StatefulPartitionedCall:1"), each list joined by commas. The first model is fed a batch of
// the one text, each other one the outputs of the one before it, in their order. Every output is printed on a line:
// name, shape, values.

#include <tensorflow/c/c_api.h>
#include <tensorflow/c/tf_tstring.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace {

TF_Status* status = TF_NewStatus();

void fail(const std::string& what, const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), why.c_str());
  std::exit(1);
}

void check(const std::string& what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// "StatefulPartitionedCall:1" -> its operation and 1.
TF_Output find(TF_Graph* graph, const std::string& tensor) {
  const size_t colon = tensor.find(':');
  TF_Operation* operation = TF_GraphOperationByName(graph, tensor.substr(0, colon).c_str());
  if (operation == nullptr) fail(tensor, "no such operation");
  return {operation, colon == std::string::npos ? 0 : std::atoi(tensor.c_str() + colon + 1)};
}

std::vector<TF_Output> find_all(TF_Graph* graph, const std::string& tensors) {
  std::vector<TF_Output> found;
  for (const std::string& tensor : split(tensors)) found.push_back(find(graph, tensor));
  return found;
}

TF_Tensor* batch_of(const std::string& text) {
  const int64_t shape[] = {1};
  TF_Tensor* tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  auto* string = static_cast<TF_TString*>(TF_TensorData(tensor));
  TF_StringInit(string);
  TF_StringCopy(string, text.data(), text.size());
  return tensor;
}

std::vector<TF_Tensor*> run(const char* directory, const std::string& inputs, const std::string& outputs,
                            const std::vector<TF_Tensor*>& fed) {
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tag = "serve";
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, nullptr, directory, &tag, 1, graph, nullptr, status);
  check(directory);
  const std::vector<TF_Output> from = find_all(graph, inputs), to = find_all(graph, outputs);
  if (from.size() != fed.size()) fail(inputs, "as many inputs as there are outputs before");
  std::vector<TF_Tensor*> found(to.size());
  TF_SessionRun(session, nullptr, from.data(), fed.data(), static_cast<int>(from.size()), to.data(), found.data(),
                static_cast<int>(to.size()), nullptr, 0, nullptr, status);
  check(directory);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  return found;
}

void print(const std::string& name, const TF_Tensor* tensor) {
  std::printf("%s [", name.c_str());
  for (int axis = 0; axis < TF_NumDims(tensor); axis++)
    std::printf(axis ? ",%lld" : "%lld", static_cast<long long>(TF_Dim(tensor, axis)));
  std::printf("]");
  const void* data = TF_TensorData(tensor);
  for (int64_t i = 0; i < TF_TensorElementCount(tensor); i++) {
    if (TF_TensorType(tensor) == TF_INT32) {
      std::printf(" %d", static_cast<const int32_t*>(data)[i]);
    } else if (TF_TensorType(tensor) == TF_FLOAT) {
      std::printf(" %.9g", static_cast<const float*>(data)[i]);
    } else if (TF_TensorType(tensor) == TF_STRING) {
      const TF_TString* string = static_cast<const TF_TString*>(data) + i;
      std::printf(" %.*s", static_cast<int>(TF_StringGetSize(string)), TF_StringGetDataPointer(string));
    } else {
      fail(name, "neither int32, float nor string");
    }
  }
  std::printf("\n");
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 6 || count % 3 != 0) fail(arguments[0], "TEXT LIBRARIES [DIRECTORY INPUTS OUTPUTS]...");
  std::printf("version [] %s\n", TF_Version());
  for (const std::string& library : split(arguments[2])) {
    TF_LoadLibrary(library.c_str(), status);
    check(library);
  }
  std::vector<TF_Tensor*> tensors = {batch_of(arguments[1])};
  for (int at = 3; at < count; at += 3) {
    tensors = run(arguments[at], arguments[at + 1], arguments[at + 2], tensors);
    for (size_t i = 0; i < tensors.size(); i++) print(split(arguments[at + 2])[i], tensors[i]);
  }
}
