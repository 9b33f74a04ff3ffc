import { cases } from './cross_entropy.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('cross_entropy', cases);
