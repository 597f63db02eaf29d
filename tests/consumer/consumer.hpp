#pragma once

int use_blip();
