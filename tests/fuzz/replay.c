/* replay.c - runs a fuzz target on files:  replay_<name> DIRECTORY|FILE... */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    MUST(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    MUST(size >= 0);
    rewind(file);
    uint8_t *data = malloc((size_t)size + 1);
    MUST(data != NULL);
    MUST(fread(data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
}

static unsigned replay_directory(const char *path)
{
    DIR *directory = opendir(path);
    MUST(directory != NULL);
    unsigned files = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        replay_file(file);
        files++;
    }
    closedir(directory);
    return files;
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        MUST(stat(argv[i], &status) == 0);
        if (S_ISDIR(status.st_mode)) {
            files += replay_directory(argv[i]);
        } else {
            replay_file(argv[i]);
            files++;
        }
    }
    printf("%u files\n", files);
    return files > 0 ? 0 : 1;
}
